/** `imageRef`: the id of an image, its URL, or (the openstack client sends what it was given) its name. */

import type { Core } from '../../../../core/core.js'
import { ImageNotFound } from '../../../../core/model/errors.js'
import type { ProjectCaller } from '../../../../core/model/records.js'
import { badRequest, CinderFault } from '../errors.js'

/** Returns the image's ID. Throws 400 if there is none, 409 if several have the name. */
export async function resolveImage(core: Core, caller: ProjectCaller, reference: string): Promise<string> {
  const id = /^https?:\/\//.test(reference) ? (reference.split('/').at(-1) ?? '') : reference
  try {
    return (await core.images.get(caller, id)).id
  } catch (error) {
    if (!(error instanceof ImageNotFound)) throw error
  }
  const named = await core.images.list(caller, { name: [reference], limit: 2 })
  if (named.length > 1)
    throw new CinderFault(409, `Multiple matches found for '${reference}', use an ID to be more specific.`)
  const [image] = named
  if (image === undefined) throw badRequest('Invalid image identifier or unable to access requested image.')
  return image.id
}

/** Images: make, list, show, change, delete. */

import type { FastifyInstance } from 'fastify'
import { SlicePace } from '../../../../core/lists/slices.js'
import { ImageNotFound } from '../../../../core/model/errors.js'
import type { Image, ProjectCaller } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { readJson } from '../../../shared/body.js'
import { sendJsonList } from '../../../shared/json_list.js'
import { GlanceFault } from '../errors.js'
import { parseNewImage } from '../requests/image_body.js'
import { parsePatch, patchMediaTypes } from '../requests/json_patch.js'
import { parseListQuery } from '../requests/list_query.js'
import { registeredLocation } from '../requests/location.js'
import { changeOf } from '../requests/patch_image.js'
import { imageView, storeId } from '../responses/image.js'

interface ImageRoute {
  Params: { imageId: string }
}

export function imageRoutes(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.post('/images', async (request, reply) => {
    const caller = requireProject(request)
    const { image, locations } = parseNewImage(await readJson(request))
    const [location] = locations
    const data = location === undefined ? undefined : registeredLocation(location, request, urls)
    const created = await core.imageSources.create(caller, image, data)
    const view = viewFor(caller, created)
    return reply
      .code(201)
      .header('Location', `/v2/images/${created.id}`)
      .header('OpenStack-image-store-ids', storeId)
      .send(view)
  })

  app.get('/images', async (request, reply) => {
    const caller = requireProject(request)
    const query = parseListQuery(request.query as Record<string, string | string[]>)
    const pace = new SlicePace()
    let more = false
    return sendJsonList(request, reply, {
      name: 'images',
      pace,
      slices: async () => {
        const page = await listed(core.images.page(caller, query, pace))
        more = page.more
        return page.slices
      },
      view: (image: Image) => viewFor(caller, image),
      rest: (last) => ({
        first: pageUrl(request.url),
        schema: '/v2/schemas/images',
        ...(more && last !== undefined ? { next: pageUrl(request.url, last.id) } : {}),
      }),
    })
  })

  app.get<ImageRoute>('/images/:imageId', async (request) => {
    const caller = requireProject(request)
    return viewFor(caller, await core.images.get(caller, request.params.imageId))
  })

  app.patch<ImageRoute>('/images/:imageId', async (request) => {
    const caller = requireProject(request)
    const mediaType = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
    if (!isPatchMediaType(mediaType))
      throw new GlanceFault(415, `A patch of an image has one of the media types ${acceptPatch}.`, {
        'Accept-Patch': acceptPatch,
      })
    const draft = patchMediaTypes[mediaType]
    const patch = parsePatch(await readJson(request), draft)
    const image = await core.imageSources.edit(caller, request.params.imageId, (before) => {
      const { change, location } = changeOf(before, patch, draft)
      return { change, location: location && registeredLocation(location, request, urls) }
    })
    return viewFor(caller, image)
  })

  app.delete<ImageRoute>('/images/:imageId', async (request, reply) => {
    const caller = requireProject(request)
    await core.images.delete(caller, request.params.imageId)
    return reply.code(204).send()
  })
}

/** A marker that is not there is a bad parameter of a list, not a missing list. */
async function listed<Page>(page: Promise<Page>): Promise<Page> {
  try {
    return await page
  } catch (error) {
    throw error instanceof ImageNotFound ? new GlanceFault(400, error.message) : error
  }
}

const acceptPatch = Object.keys(patchMediaTypes).join(', ')

function isPatchMediaType(text: string): text is keyof typeof patchMediaTypes {
  return Object.hasOwn(patchMediaTypes, text)
}

function viewFor(caller: ProjectCaller, image: Image): Record<string, unknown> {
  return imageView(image, caller.isAdmin || image.owner === caller.project.id)
}

/** The list's own URL, relative to the endpoint, from the first page or from behind `marker`. */
function pageUrl(requestUrl: string, marker?: string): string {
  const query = new URLSearchParams(requestUrl.includes('?') ? requestUrl.slice(requestUrl.indexOf('?') + 1) : '')
  query.delete('marker')
  if (marker !== undefined) query.set('marker', marker)
  const text = query.toString()
  return text === '' ? '/v2/images' : `/v2/images?${text}`
}

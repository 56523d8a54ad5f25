/** What clients send to make an image, judged member by member. */

import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { ImageChange, NewImage } from '../../../../core/images/images.js'
import type { ImageVisibility } from '../../../../core/model/records.js'
import { isJsonObject } from '../../../shared/body.js'
import { GlanceFault } from '../errors.js'
import { baseFields, type LocationBody, propertyNameMax, readOnlyFields, schemaOf } from '../image_fields.js'

export type Location = Static<typeof LocationBody>

/** Of Glance's own use: whoever could set them could fool an import. */
const reservedPrefix = 'os_glance_'
const reservedNames = new Set(['location', 'deleted', 'deleted_at'])

/** Throws 403 for members that a request may not name at all. */
export function requireWritable(name: string): void {
  if (readOnlyFields.has(name)) throw new GlanceFault(403, `Attribute '${name}' is read-only.`)
  if (reservedNames.has(name) || name.startsWith(reservedPrefix))
    throw new GlanceFault(403, `Attribute '${name}' is reserved.`)
  if (name.length > propertyNameMax)
    throw new GlanceFault(400, 'Custom property should not be greater than 255 characters.')
}

/** Throws 400 in the words of Glance. */
export function requireFits(name: string, value: unknown): void {
  const schema = schemaOf(name)
  if (Value.Check(schema, value)) return
  const first = Value.Errors(schema, value).First()
  const json = JSON.stringify(value) ?? 'undefined'
  const shown = json.length > 100 ? `${json.slice(0, 100)}…` : json
  const place = `${name}${(first?.path ?? '').replaceAll('/', '.')}`
  const expected = schema.description ? `it must be ${schema.description}` : (first?.message ?? 'it is not valid')
  throw new GlanceFault(400, `Provided object does not match schema 'image': ${place} is ${shown}: ${expected}`)
}

/** The body of POST. */
export function parseNewImage(body: unknown): { image: NewImage; locations: Location[] } {
  if (!isJsonObject(body)) throw new GlanceFault(400, 'The request body must be a JSON object.')
  const image: NewImage = {}
  const properties: [string, string][] = []
  let locations: Location[] = []
  for (const [name, value] of Object.entries(body)) {
    // The identifier is the client's to choose once, here.
    if (name !== 'id') requireWritable(name)
    requireFits(name, value)
    if (name === 'id') image.id = (value as string).toLowerCase()
    else if (name === 'locations') locations = value as Location[]
    else if (baseFields.has(name)) setBaseField(image, name, value)
    else properties.push([name, value as string])
  }
  image.properties = Object.fromEntries(properties)
  return { image, locations }
}

/** `value` has been judged by `requireFits`. */
export function setBaseField(change: ImageChange, name: string, value: unknown): void {
  switch (name) {
    case 'name':
      change.name = value as string | null
      break
    case 'visibility':
      change.visibility = value as ImageVisibility
      break
    case 'owner':
      if (value !== null) change.owner = value as string
      break
    case 'protected':
      change.protected = value as boolean
      break
    case 'os_hidden':
      change.hidden = value as boolean
      break
    case 'disk_format':
      change.diskFormat = value as string | null
      break
    case 'container_format':
      change.containerFormat = value as string | null
      break
    case 'min_disk':
      change.minDiskGib = value as number
      break
    case 'min_ram':
      change.minRamMib = value as number
      break
    case 'tags':
      change.tags = [...new Set(value as string[])]
      break
    default:
      throw new GlanceFault(403, `Attribute '${name}' is read-only.`)
  }
}

/**
 * What a patch changes in an image. All operations are tried on a copy: either all of them take effect or none. The caller runs this
 * in the transaction that stores the outcome, so nothing changes between what they saw and what they store.
 */

import type { ImageChange } from '../../../../core/images/images.js'
import type { Image } from '../../../../core/model/records.js'
import { GlanceFault } from '../errors.js'
import { baseFields } from '../image_fields.js'
import { type Location, requireFits, requireWritable, setBaseField } from './image_body.js'
import type { PatchDraft, PatchOperation } from './json_patch.js'

interface Outcome {
  change: ImageChange
  properties: Map<string, string>
  propertiesChanged: boolean
  location: Location | undefined
}

/** Returns what to change in `image`. Throws 400, 403 or 409 if any of the operations fails. */
export function changeOf(
  image: Image,
  patch: PatchOperation[],
  draft: PatchDraft,
): Pick<Outcome, 'change' | 'location'> {
  const outcome: Outcome = {
    change: {},
    properties: new Map(Object.entries(image.properties)),
    propertiesChanged: false,
    location: undefined,
  }
  for (const operation of patch) {
    const name = operation.path[0] as string
    requireWritable(name)
    if (name === 'locations') changeLocations(image, operation, outcome)
    else if (baseFields.has(name)) changeBaseField(image, operation, draft, outcome.change)
    else changeProperty(operation, draft, outcome)
  }
  const { change, properties, propertiesChanged, location } = outcome
  if (propertiesChanged) change.properties = Object.fromEntries(properties)
  return { change, location }
}

function changeBaseField(
  image: Image,
  { op, path, value }: PatchOperation,
  draft: PatchDraft,
  change: ImageChange,
): void {
  const name = path[0] as string
  if (op === 'remove') throw new GlanceFault(403, `Property ${name} may not be removed.`)
  if (name === 'id') throw new GlanceFault(403, "Attribute 'id' is read-only.")
  // In the older draft `add` never replaces, and an image always has all its base members.
  if (op === 'add' && draft === 4) throw new GlanceFault(409, `Property ${name} already present.`)
  requireFits(name, value)
  if (name === 'owner' && value === null) throw new GlanceFault(400, `The image ${image.id} must have an owner.`)
  setBaseField(change, name, value)
}

function changeProperty({ op, path, value }: PatchOperation, draft: PatchDraft, outcome: Outcome): void {
  const name = path[0] as string
  const { properties } = outcome
  if (op === 'add' && draft === 4 && properties.has(name))
    throw new GlanceFault(409, `Property ${name} already present.`)
  if (op !== 'add' && !properties.has(name)) throw new GlanceFault(409, `Property ${name} does not exist.`)
  if (op === 'remove') {
    properties.delete(name)
  } else {
    requireFits(name, value)
    properties.set(name, value as string)
  }
  outcome.propertiesChanged = true
}

/** An image has no location or one. */
function changeLocations(image: Image, { op, path, value }: PatchOperation, outcome: Outcome): void {
  if (op === 'remove') throw new GlanceFault(403, 'Cannot remove last location in the image.')
  if (op === 'add') {
    requireFits('locations', [value])
    if (path[1] !== '-' && path[1] !== '0') throw new GlanceFault(400, 'Invalid position for adding a location.')
    outcome.location = value as Location
    return
  }
  if (Array.isArray(value) && value.length === 0) throw new GlanceFault(403, 'Cannot set locations to empty list.')
  requireFits('locations', value)
  const [location] = value as [Location]
  // Clients rewrite the list to change an entry's metadata, which we do not keep.
  if (location.url !== image.location) outcome.location = location
}

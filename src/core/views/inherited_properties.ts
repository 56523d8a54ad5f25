/** What an image that is made from a volume takes over from the image that the volume was made from. */

import type { Metadata } from '../model/records.js'

/** Not properties of an image that is made from the volume later: they would be about another image. */
const ofTheImageItself = new Set([
  'image_id',
  'image_name',
  'checksum',
  'container_format',
  'disk_format',
  'min_disk',
  'min_ram',
  'size',
  'signature_verified',
  'image_type',
  'EXCLUDE_ALL_TASKS',
])

export function inheritedProperties(imageMetadata: Metadata): Metadata {
  return Object.fromEntries(Object.entries(imageMetadata).filter(([name]) => !ofTheImageItself.has(name)))
}

/**
 * How much an image may carry: Glance's quotas (image_property_quota, image_tag_quota), and what its columns hold. All of an image is one
 * entry of a list, so its size is what a list must be able to hold at least.
 */

import { ImagePropertiesTooLong, ImagePropertyLimit, ImageTagLimit } from '../model/errors.js'
import type { Metadata } from '../model/records.js'

const imagePropertiesMax = 128
const imageTagsMax = 128
/** Of the names and values of all properties together, in UTF-8. */
const imagePropertyBytesMax = 128 << 10

/** What an image has after a change. Throws ImagePropertyLimit, ImagePropertiesTooLong, ImageTagLimit. */
export function checkImageLimits({
  properties = {},
  tags = [],
}: {
  properties?: Metadata | undefined
  tags?: readonly string[] | undefined
}): void {
  const entries = Object.entries(properties)
  if (entries.length > imagePropertiesMax) throw new ImagePropertyLimit(entries.length, imagePropertiesMax)
  const bytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
  if (bytes > imagePropertyBytesMax) throw new ImagePropertiesTooLong(imagePropertyBytesMax, bytes)
  const count = new Set(tags).size
  if (count > imageTagsMax) throw new ImageTagLimit(count, imageTagsMax)
}

/** The user's own metadata as headers. */

import { headerBytes } from '../header_text.js'
import type { MetadataOwner } from '../limits.js'

export function metadataHeaders(
  metadata: Readonly<Record<string, string>>,
  owner: MetadataOwner,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [`x-${owner}-meta-${name}`, headerBytes(value)]),
  )
}

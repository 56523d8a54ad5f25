/**
 * The bytes of small read-only resources that were asked for last.
 *
 * They never change (a sealed layer does not, and neither does a content chunk), so nothing here is ever out of date; and they are
 * asked for by the id of a resource that a row of the catalog names at that moment, so nothing is found here that is no more.
 * What it spares is the trip to the engine: three threads for some KiB, which cost several times what it takes to send them.
 */

import type { ResourceId } from '../../lib/ids.js'
import { KiB, MiB } from '../../lib/units.js'

/** Of one resource; what is larger is read piece by piece. */
export const smallBytesMax = 64 * KiB
const keptBytesMax = 32 * MiB
/** What an entry costs beside its bytes, roughly: empty ones must not be kept without end. */
const entryBytes = 512

export class SmallContent {
  /** Least recently used first. */
  readonly #kept = new Map<ResourceId, Buffer>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes = keptBytesMax) {
    this.#maxBytes = maxBytes
  }

  get(id: ResourceId): Buffer | undefined {
    const bytes = this.#kept.get(id)
    if (bytes === undefined) return undefined
    this.#kept.delete(id)
    this.#kept.set(id, bytes)
    return bytes
  }

  /** All of a read-only resource, which nobody writes to any more. */
  keep(id: ResourceId, bytes: Buffer): void {
    if (this.#kept.has(id)) return
    this.#kept.set(id, bytes)
    this.#bytes += bytes.length + entryBytes
    for (const [oldest, { length }] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break
      this.#kept.delete(oldest)
      this.#bytes -= length + entryBytes
    }
  }
}

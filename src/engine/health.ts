/** The health of the store: check, repair, scrub. */

import type {
  NativeBadChunk as BadChunk,
  NativeHealth,
  NativePresence as Presence,
  NativePlace as RecordPlace,
  NativeBlocks as RegionBlocks,
  NativeScrubStep as ScrubStep,
  NativeFinding as StoreFinding,
  NativeFindingKind as StoreFindingKind,
  NativeCheckReport as StoreReport,
} from '../addon/contract/health.js'
import { native } from '../addon/errors.js'
import type { LayerId } from '../lib/ids.js'

export type { BadChunk, RecordPlace, RegionBlocks, StoreFinding, StoreFindingKind, StoreReport }

export class Health {
  readonly #native: NativeHealth

  constructor(health: NativeHealth) {
    this.#native = health
  }

  /** `layers`: those of the catalog; null if it cannot be read. Throws StorageCorrupt if the records cannot be read. */
  check(options: { layers: LayerId[] | null; data: boolean }): Promise<StoreReport> {
    return native(() => this.#native.check(options))
  }

  /**
   * Repairs counts and garbage, and marks unmentioned space as garbage. Returns a message for each repair. Requires an engine opened
   * to `repair`.
   */
  repair(): Promise<string[]> {
    return native(() => this.#native.repair())
  }

  /** Cleans up after an interrupted run, and frees what `repair` marked as garbage. Requires an engine opened to `repair`. */
  recover(): Promise<void> {
    return native(() => this.#native.recover())
  }

  /** Verifies the next content chunks after this digest (null: from the first). Must have ended before `shutdown`. */
  scrub(from: { after: string | null; maxChunks: number }): Promise<ScrubStep> {
    return native(() => this.#native.scrub(from))
  }

  /** Returns where records mention the content chunk. Reads all records; must have ended before `shutdown`. */
  chunkPlaces(chunk: string): Promise<RecordPlace[]> {
    return native(() => this.#native.chunkPlaces(chunk))
  }

  /** Marks a content chunk that an earlier scrub found damaged: an upload of the same bytes then writes it again. */
  markBad(chunk: string): Promise<void> {
    return native(() => this.#native.markBad(chunk))
  }

  /** Returns the blocks of the region that the layer itself supplies. */
  recordBlocks(layer: LayerId, region: number): Promise<RegionBlocks[]> {
    return native(() => this.#native.recordBlocks(layer, region))
  }

  /** Makes the records durable. Returns how far they reach: a number that only grows. */
  recordsReach(): Promise<number> {
    return native(() => this.#native.recordsReach())
  }

  /** Returns how many of a sample of the data files and chunks that the records mention exist. */
  presence(): Promise<Presence> {
    return native(() => this.#native.presence())
  }

  /** Resolves when all unreachable space has been returned to the file system. */
  reclaimed(): Promise<void> {
    return native(() => this.#native.reclaimed())
  }
}

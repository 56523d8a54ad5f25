/** The health of the store: check, repair, scrub. native/node/objects/health.cc. */

/** `kind_name()` of native/engine/health/findings.cc. */
export type NativeFindingKind =
  | 'record_unreadable'
  | 'key_unknown'
  | 'blocks_shared'
  | 'layer_unknown'
  | 'count_unreadable'
  | 'count_low'
  | 'count_high'
  | 'garbage_unreadable'
  | 'garbage_in_use'
  | 'file_missing'
  | 'file_short'
  | 'file_unmentioned'
  | 'space_unaccounted'
  | 'chunk_length'
  | 'chunk_missing'
  | 'chunk_corrupt'
  | 'chunk_unreadable'
  | 'chunk_unmentioned'
  | 'more'

/** Blocks [first, end) of a region. */
export interface NativeBlocks {
  first: number
  end: number
}

/** Damaged blocks of one layer's record. */
export interface NativePlace {
  layer: number
  region: number
  blocks: NativeBlocks[]
}

/** A finding of `check`. `fatal`: data is damaged or in danger; otherwise it is a leak or an oddity that loses nothing. */
export interface NativeFinding {
  kind: NativeFindingKind
  fatal: boolean
  message: string
  layer?: number
  places: NativePlace[]
}

export interface NativeCheckReport {
  findings: NativeFinding[]
  /** True if no finding forbids freeing the space that no record mentions. */
  trusted: boolean
  dataBytesMentioned: number
  dataBytesAllocated: number
  chunks: number
  chunkBytes: number
  chunksVerified: number
}

/** How many of a sample of the data files and chunks that the records mention exist: native/engine/resource/presence.h. */
export interface NativePresence {
  files: number
  filesThere: number
  chunks: number
  chunksThere: number
}

export interface NativeBadChunk {
  /** Its digest. */
  chunk: string
  kind: 'chunk_missing' | 'chunk_corrupt' | 'chunk_unreadable'
  message: string
}

export interface NativeScrubStep {
  /** There are no further chunks. */
  end: boolean
  /** The digest of the last chunk that was read; absent if there was none. */
  last?: string
  chunks: number
  bytes: number
  /** In the order of their digests. */
  bad: NativeBadChunk[]
}

export interface NativeHealth {
  /**
   * Checks records, references, data files and content chunks against the layers of the catalog (null: it cannot be read).
   * `data`: also the digests of all content chunks. Rejects with `corrupt` when the records cannot be read to their end.
   */
  check(options: { layers: number[] | null; data: boolean }): Promise<NativeCheckReport>
  /** Repairs counts and garbage, and frees what no record mentions (native/engine/health/repair.h). Returns a message for each repair. */
  repair(): Promise<string[]>
  /** Cleans up after an interrupted run. Only for an engine opened with the purpose `repair`; `serve` does so when it opens. */
  recover(): Promise<void>
  /**
   * Reads the next content chunks after `after` (a digest; null: from the first) and compares them with their digests: at most
   * `maxChunks` and about 4 MiB, on a thread of low priority, which the first call starts.
   */
  scrub(from: { after: string | null; maxChunks: number }): Promise<NativeScrubStep>
  /** Returns the places (at most 256) where records mention the chunk. Reads all records, on the same thread. */
  chunkPlaces(chunk: string): Promise<NativePlace[]>
  /** Marks a chunk that an earlier scrub found damaged: an upload of the same bytes then writes it again. */
  markBad(chunk: string): Promise<void>
  /** Returns the blocks of the region that the layer's own record supplies. */
  recordBlocks(layer: number, region: number): Promise<NativeBlocks[]>
  /** Makes the records durable and returns how far they reach: a number that only grows. */
  recordsReach(): Promise<number>
  presence(): Promise<NativePresence>
  /** Resolves when all garbage has been freed (for tests, and before measuring disk usage). */
  reclaimed(): Promise<void>
}

/**
 * The boundary: what the C++ addon (`native/node`) offers. Plain data crosses it once per call; TypeScript has judged
 * the arguments before. Everything that can take time answers by a promise. A failure rejects with an `Error` whose
 * `code` is one of {@link NativeErrorCode} and whose message says what is wrong with what.
 *
 * Only `src/engine` imports this file; the rest of the house uses the typed façade.
 */

/** `code_name()` of native/base/result.h. */
export type NativeErrorCode =
  | 'invalid'
  | 'not_found'
  | 'exists'
  | 'read_only'
  | 'out_of_range'
  | 'no_space'
  | 'io'
  | 'corrupt'
  | 'busy'
  | 'cancelled'
  | 'shutdown'
  | 'unsupported'
  | 'too_large'

/** One layer of a chain. `parentLimitBlocks`: how many 4 KiB blocks, from the start, of its parent show through it. */
export interface NativeLayer {
  id: number
  parentLimitBlocks: number
}

/** What the engine must know to open a resource; the catalog is where it comes from. */
export interface NativeResourceSpec {
  /** UUID of the resource. */
  id: string
  sizeBytes: number
  readOnly: boolean
  /** Head first, root last. Never empty. */
  layers: NativeLayer[]
}

export interface NativeEngineOptions {
  /** Holds `data/`, `content/` and `records/`; made when absent. */
  storeDir: string
  /** examine: nothing is changed. repair: what an interrupted run left is not tidied up before `recover`. */
  purpose: 'serve' | 'examine' | 'repair'
  /** `corrupt`: the records end before this, which `recordsReach` answered once. */
  recordsReach: number
  cache: 'buffered' | 'direct'
  io: 'auto' | 'uring' | 'threads'
  /** Threads that serve NBD and the block maps; 0: one for each core, at most 8. */
  reactors: number
  /** How long a reactor looks for its next answer before it sleeps, when that is likely to pay: native/io/busy_poll.h. 0: never. */
  busyPollMicroseconds: number
  /** Lines of the store: warnings and errors of RocksDB. undefined: they are dropped. */
  log?: NativeLog | undefined
  /** They are closed after the engine's shutdown. undefined: none. */
  spaceReserves?: NativeSpaceReserves | undefined
}

/** `suppressed`: how many lines were dropped since the last one, because there were too many. */
export type NativeLog = (level: 'info' | 'warn' | 'error', message: string, suppressed: number) => void

declare const reservesBrand: unique symbol

/** native/store/space_reserve.h; `low` and `release` are those of the first directory's file system. */
export interface NativeSpaceReserves {
  low(): boolean
  release(): boolean
  prepareStart(): void
  keep(): void
  close(): void
  readonly handle: { readonly [reservesBrand]: true }
}

export interface NativeEngineInfo {
  io: 'uring' | 'threads'
  cache: 'buffered' | 'direct'
  reactors: number
  formatVersion: number
  /** Whether what is answered survives the end of the process: native/store/dirty_log/dirty_log.h. */
  dirtyLogs: boolean
  /** Of an earlier boot or mount: thrown away at the start. */
  dirtyLogsDiscarded: number
}

/** Monotonic since start, except the gauges `openResources`, `connections` and `garbageEntries`. Bytes are numbers (below 2^53). */
export interface NativeCounters {
  bytesWritten: number
  bytesRead: number
  contentBytesWritten: number
  bytesPunched: number
  dataSyncs: number
  recordsCommitted: number
  recordCommits: number
  regionsResolved: number
  openResources: number
  connections: number
  /** Space that is unreachable but not yet given back to the file system. 0: nothing is pending. */
  garbageEntries: number
}

/**
 * Of one NBD export since its first connection; all but `connections` only grow, until it is forgotten (docs/reference/nbd.md "Counters").
 * `name` is the label that its resolver gave it, never the secret by which it is found.
 */
export interface NativeExportCounters {
  door: NbdDoor
  name: string
  connections: number
  /** Connections in all. */
  accepted: number
  /** By command; refused ones included. */
  requests: {
    read: number
    write: number
    flush: number
    trim: number
    cache: number
    writeZeroes: number
    blockStatus: number
    disconnect: number
  }
  /** Requests answered with an error. */
  errors: number
  bytesRead: number
  bytesWritten: number
  /** Numbers of requests: of under 1 µs, then of [2^(i-1), 2^i) µs in bucket i; the last of 24 buckets has no upper bound. */
  latencyUs: { read: number[]; write: number[]; flush: number[]; other: number[] }
}

declare const socketBrand: unique symbol
/** Opaque. */
export type NativeSocket = { readonly [socketBrand]: true }

/** Names a reading, from its begin to its end. */
export type NativeReading = number

export interface NativeSending {
  socket: NativeSocket
  sent: Promise<void>
}

export interface NativeExtent {
  lengthBytes: number
  hole: boolean
  zero: boolean
}

export interface NativeChange {
  lengthBytes: number
  changed: boolean
}

export interface NativeIngestResult {
  sizeBytes: number
  /** Of all the bytes, 32 lower-case hexadecimal digits. */
  md5: string
  /** Of all the bytes, 64 lower-case hexadecimal digits; null for more than 4 MiB, unless it was asked for. */
  sha256: string | null
  /** Content chunks that were new to the store; the rest were there already (deduplicated) or zero. */
  newChunks: number
}

/** Bytes of a closed or open resource. `referenced`: what its chain maps; `exclusive`: what would come back if it were deleted. */
export interface NativeUsage {
  virtualBytes: number
  referencedBytes: number
  exclusiveBytes: number
}

export type NbdDoor = 'operator' | 'tenant'

/** The answer to a client that names an export. The server holds one lease on the resource while the connection lives. */
export interface NativeExport {
  /** The resource, opened (leased once) by the resolver for this connection. */
  resourceId: string
  readOnly: boolean
  description: string
  /** What counters call it. */
  label: string
  /** Whose share of the connections is used; empty: nobody's. */
  project: string
}

/** The answer to an operator's client that names an export: its canonical name, or why there is none (for that client). */
export type NativeFoundExport = { name: string } | { refusal: string }

/** What a client asks for: with LIST_META_CONTEXT (`list`; no names: everything, `ns:` or `ns:kind:` as prefixes) or SET_META_CONTEXT. */
export interface NativeContextQueries {
  list: boolean
  names: string[]
}

/** A metadata context of an export, beside base:allocation; the kinds are those of `StatusQuestion` in block_device.h. */
export interface NativeContext {
  name: string
  kind: 'depth' | 'decided' | 'changed'
  /** changed: the ancestor, opened (leased once) by the resolver for this connection. Not needed in a list. */
  since?: { resourceId: string; layer: number; sizeBytes: number }
}

/** NBD connections: those that ended in time, and those that still have requests in flight. */
export interface NativeReconnected {
  ended: number
  remaining: number
}

export interface NativeNbdOptions {
  /** `HOST:PORT` (IPv6 hosts in brackets; port 0 picks one) or `unix:PATH`. */
  address: string
  door: NbdDoor
  /** off: STARTTLS is unknown; opportunistic: for who asks for it; required: nothing is answered before it. */
  tls: NbdTlsMode
  /** Mode of the socket file; only for `unix:`. */
  mode?: number
  /** The descriptor of a listening socket that this process was started with, in place of `address`; the engine's from now on. */
  inherited?: number | undefined
}

export type NbdTlsMode = 'off' | 'opportunistic' | 'required'

/** The contents of files: PEM texts and keys. Empty texts: none. */
export interface NativeTlsMaterial {
  certificate: string
  key: string
  clientCa: string
  /** Certificates of clients that their CA has revoked (PEM); empty: none. */
  clientCrl: string
  /** Clients must show a certificate. */
  verifyPeer: boolean
  /** Lines of USER:HEXKEY. */
  psk: string
  /** A GnuTLS priority string; empty: the default. */
  priority: string
}

/** A connection that ended because of TLS. */
export interface NativeTlsFailure {
  door: NbdDoor
  /** HOST:PORT. */
  peer: string
  /** What went wrong; printable. */
  words: string
  /** How many more there were since the last report: strangers decide how many there are, so not all are reported. */
  unsaid: number
}

/** A client's request that the storage beneath could not do. */
export interface NativeRequestFailure {
  door: NbdDoor
  /** {@link NativeExport.label} */
  label: string
  /** `WRITE`, as NBD's protocol calls it. */
  command: string
  offset: number
  /** 0: the command is about no range. */
  length: number
  code: 'io' | 'corrupt' | 'no_space'
  /** Which system call on which file, and what it answered. */
  message: string
  /** How many more there were since the last report, of any export: clients decide how many there are, so not all are reported. */
  unsaid: number
}

export interface NativeNbdCallbacks {
  /** Returns the export that a name at the operator's door stands for. `open` and `contexts` are then called with its canonical name. */
  find(name: string): Promise<NativeFoundExport>
  /** Answers null when there is no such export (or this door may not see it). A rejection is logged and answered as ERR_POLICY. */
  open(door: NbdDoor, name: string): Promise<NativeExport | null>
  /** The names that LIST shows at this door. */
  list(door: NbdDoor): Promise<string[]>
  /** For the log. */
  tlsFailed(failure: NativeTlsFailure): void
  /** Likewise. */
  requestFailed(failure: NativeRequestFailure): void
  /** What an export that `open` answered offers of what is asked for (more is no harm). A rejection fails the client's option. */
  contexts(door: NbdDoor, name: string, queries: NativeContextQueries): Promise<NativeContext[]>
}

export interface NativeNbdLimits {
  /** In all, not 0. Some are for operators' sockets only (native/nbd/protocol/limits.h). */
  connections: number
  /** Of one export over TCP, not 0. */
  connectionsOfExport: number
  /** Of the exports of one project over TCP, not 0. */
  connectionsOfProject: number
  /** From accept to the export's name, not 0. */
  handshakeSeconds: number
  /** Connections that ask for nothing for so long are closed; 0: never. */
  idleSeconds: number
  /** A peer over TCP that answers nothing for so long is gone, not 0. */
  peerTimeoutSeconds: number
}

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
  /** Nothing that was found hinders giving back what no record mentions. */
  trusted: boolean
  dataBytesMentioned: number
  dataBytesAllocated: number
  chunks: number
  chunkBytes: number
  chunksVerified: number
}

/** A look at a few of the data files and chunks that the records mention: native/engine/resource/presence.h. */
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
  /** No further chunk is there. */
  end: boolean
  /** The digest of the last chunk that was read; absent when there was none. */
  last?: string
  chunks: number
  bytes: number
  /** In the order of their digests. */
  bad: NativeBadChunk[]
}

export interface NativeEngine {
  info(): NativeEngineInfo
  counters(): NativeCounters
  /** Sorted by door and name. No reactor is asked or waits. */
  exportCounters(): NativeExportCounters[]

  /**
   * Opens a resource, or takes one more lease of it when it is open (the spec of the first one holds then).
   * Each open is paired with one close. The last close flushes and forgets it; NBD connections hold leases of their own.
   */
  open(spec: NativeResourceSpec): Promise<void>
  close(resourceId: string): Promise<void>
  /** Is any lease held, or anybody reading? */
  isOpen(resourceId: string): boolean

  // ---- reading a read-only resource: each reader has it opened for himself (native/engine/space/readings.h) ----
  /** At once. Throws `invalid` for what is not read-only. Ends by `readingEnd`, or at `shutdown`. */
  readingBegin(spec: NativeResourceSpec): NativeReading
  readingRead(reading: NativeReading, offset: number, length: number): Promise<Buffer>
  /**
   * Sends the bytes of the range to the non-blocking stream socket `fd` (native/io/socket_sender.h), which is duplicated before the call
   * returns: its owner may close it. Nobody else writes to it until `sent` is settled. `cancelled`: the client is gone, or it was given
   * up; any part may have been sent then. `head` goes out right before the first of the bytes, and not where they cannot be had.
   * Throws `invalid` for what is no such socket, `busy` when no descriptor is left.
   */
  readingSend(reading: NativeReading, fd: number, offset: number, length: number, head: Buffer): NativeSending
  /** At once; what was begun goes on, and keeps the bytes until it has ended. Idempotent. */
  readingEnd(reading: NativeReading): void
  /** Ends the connection, and what is being sent to it. */
  sendCancel(socket: NativeSocket): void
  /** Perhaps something was sent. */
  sendBegan(socket: NativeSocket): boolean
  /** For how long the client has taken nothing of what it is offered; 0 while it is not waited for. */
  sendWaitedMs(socket: NativeSocket): number

  // ---- on an open resource; `not_found` otherwise ----
  read(resourceId: string, offset: number, length: number): Promise<Buffer>
  write(resourceId: string, offset: number, data: Uint8Array): Promise<void>
  writeZeroes(resourceId: string, offset: number, length: number): Promise<void>
  trim(resourceId: string, offset: number, length: number): Promise<void>
  flush(resourceId: string): Promise<void>
  extents(resourceId: string, offset: number, length: number, max: number): Promise<NativeExtent[]>
  /**
   * What of the range may differ from what another open resource has there (zeros beyond its end): runs from `offset` on,
   * perhaps ending early. `invalid` when the two have no layer in common. See native/engine/resource/diff.h.
   */
  diff(resourceId: string, baseId: string, offset: number, length: number, max: number): Promise<NativeChange[]>

  /**
   * Holds new writes back, waits for those in flight and makes everything durable. Reads go on.
   * True: the resource is open and now held: `resume` must follow. False: it is not open, nothing is to be done.
   */
  quiesce(resourceId: string): Promise<boolean>
  /** Goes on with this chain and size (a new head after a snapshot, a new size after a resize) or with the old one. */
  resume(resourceId: string, spec: { sizeBytes: number; layers: NativeLayer[] }): Promise<void>

  // ---- layers ----
  /** Removes all records of a layer and gives its space back. Idempotent. `busy` while an open resource's chain holds it. */
  dropLayer(layer: number): Promise<void>
  /**
   * Moves up to `maxRegions` of the parent's records (blocks below `limitBlocks`) into its only child, from region `cursor` on.
   * Answers the next cursor, or -1 when nothing is left to move. Idempotent; safe while the child is the live head of an open resource.
   */
  mergeStep(step: {
    parent: number
    child: number
    limitBlocks: number
    cursor: number
    maxRegions: number
  }): Promise<number>
  /** After the catalog has linked `child` to the parent's parent: open resources forget `parent`; `limitBlocks` is the child's new limit. */
  unlinkLayer(step: { parent: number; child: number; limitBlocks: number }): Promise<void>
  /** Layers (from this one on, at most so many) that have records or a data file, for the orphan sweep. */
  layers(from?: number, max?: number): Promise<number[]>

  // ---- upload ----
  /** Starts an upload into a new layer. Answers a handle (a small number). `sha256`: of all the bytes, also of many. */
  ingestStart(layer: number, options: { sha256: boolean }): number
  /**
   * undefined: the bytes were copied, and there is room for more. Else (bounded memory: back-pressure) the data must be left alone until it
   * resolves. One call at a time per handle.
   */
  ingestWrite(handle: number, data: Uint8Array): Promise<void> | undefined
  /** Everything is durable when it resolves. */
  ingestFinish(handle: number): Promise<NativeIngestResult>
  /** All of an upload of up to 4 MiB, in one call: nothing stays of one that fails. The data must be left alone until it settles. */
  ingestWhole(layer: number, data: Uint8Array): Promise<NativeIngestResult>
  /** Gives back everything the upload stored. Also right after a failed write or finish. Idempotent. */
  ingestAbort(handle: number): Promise<void>

  usage(spec: NativeResourceSpec): Promise<NativeUsage>
  /**
   * Checks records, references, data files and content chunks against the layers that the catalog knows (null: it cannot be read).
   * `data`: also the digests of all content chunks. Rejects with `corrupt` when the records cannot be read to their end.
   */
  check(options: { layers: number[] | null; data: boolean }): Promise<NativeCheckReport>
  /** Sets counts and garbage right, and gives back what no record mentions (native/engine/health/repair.h). Answers what it did. */
  repair(): Promise<string[]>
  /** What an interrupted run left is tidied up. Only for an engine opened to `repair`; to `serve` does it by itself. */
  recover(): Promise<void>
  /**
   * Reads the next content chunks behind `after` (a digest; null: from the first) and compares them with their digests; at most
   * `maxChunks`, and about 4 MiB. On a thread of low priority that the first call starts.
   */
  scrub(from: { after: string | null; maxChunks: number }): Promise<NativeScrubStep>
  /** Where records mention the chunk (the first 256 places). Reads all records, on that thread. */
  chunkPlaces(chunk: string): Promise<NativePlace[]>
  /** An earlier run's scrub found the chunk damaged: an upload of the same bytes writes it anew. */
  markBad(chunk: string): Promise<void>
  /** The blocks that the layer's own record supplies in the region. */
  recordBlocks(layer: number, region: number): Promise<NativeBlocks[]>
  /** Makes the records durable, and answers how far they reach: a number that only grows. */
  recordsReach(): Promise<number>
  presence(): Promise<NativePresence>
  /** Resolves when no garbage is left to give back (for tests, and for `du`). */
  reclaimed(): Promise<void>

  // ---- NBD ----
  /** Once, before the first listen. */
  nbdCallbacks(callbacks: NativeNbdCallbacks, limits: NativeNbdLimits): void
  /** Before the first listen with TLS, and again when the files have changed: for connections that begin from then on. */
  nbdTls(material: NativeTlsMaterial): void
  /** Answers the bound address (the real port). */
  nbdListen(options: NativeNbdOptions): Promise<string>
  /** Ends every connection that came by this export name (its attachment is deleted): drained, then closed. */
  nbdDisconnect(name: string): Promise<void>
  /** Ends the connections of these exports, for their clients to connect again: `NbdServer::reconnect` of native/nbd/server/server.h. */
  nbdReconnect(names: string[]): Promise<NativeReconnected>

  /** Stops listening, drains and ends the connections, flushes and closes everything. Answers `recordsReach`; 0: not known. */
  shutdown(): Promise<number>
}

export interface NativeAddon {
  openEngine(options: NativeEngineOptions): Promise<NativeEngine>
  /** Returns a function that gives the lock back. Throws `busy` when it is held: native/store/directory_lock.h. */
  lockDirectory(path: string): () => void
  openSpaceReserves(options: { directories: string[]; bytes: number; log?: NativeLog | undefined }): NativeSpaceReserves
  /**
   * The address of a socket that this process was started with (`HOST:PORT`, `unix:PATH`), which children of ours will not have.
   * Throws `invalid` for all but listening stream sockets.
   */
  inheritedSocketAddress(fd: number): string
  /** One datagram to a unix socket, a path or `@NAME` (sd_notify(3)). Waits for at most a second; throws when it is not taken. */
  notifyServiceManager(address: string, state: string): void
}

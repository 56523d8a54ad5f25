/**
 * The typed façade of the native engine: branded ids, errors of the catalogue, leases and streams.
 * It adds no policy: which layers there are and who may use them is the business of the floors above.
 */

import { defaultNbdLimits, shareOfProject } from '../lib/default_limits.js'
import { asError } from '../lib/errors.js'
import type { LayerId, ResourceId } from '../lib/ids.js'
import { loadAddon } from '../addon/load.js'
import { native, TlsUnusable } from '../addon/errors.js'
import { type ByteSource, type IngestOptions, ingest } from './ingest.js'
import { Lease } from './lease.js'
import type {
  NativeAddon,
  NativeBlocks,
  NativeCheckReport,
  NativeCounters,
  NativeEngine,
  NativeEngineInfo,
  NativeExportCounters,
  NativeIngestResult,
  NativeLog,
  NativeNbdCallbacks,
  NativeNbdLimits,
  NativePlace,
  NativePresence,
  NativeReconnected,
  NativeScrubStep,
  NativeRequestFailure,
  NativeTlsFailure,
  NativeTlsMaterial,
  NativeUsage,
  NbdDoor,
  NbdTlsMode,
} from '../addon/contract.js'
import { Reading } from './reading.js'
import type { SpaceReserves } from './space_reserves.js'
import type { Chain, ResourceSpec } from './spec.js'

export type {
  NativeBadChunk,
  NativeBlocks,
  NativeCheckReport,
  NativeCounters,
  NativeEngineInfo,
  NativeExportCounters,
  NativeFinding,
  NativeFindingKind,
  NativeIngestResult,
  NativeLog,
  NativeNbdLimits,
  NativePlace,
  NativeRequestFailure,
  NativeTlsFailure,
  NativeTlsMaterial,
  NativeUsage,
  NbdDoor,
} from '../addon/contract.js'

export interface EngineOptions {
  /** Holds `data/`, `content/` and `records/`; made when absent. */
  storeDir: string
  /** Default: serve. examine: changes nothing. repair: tidies up only when told to (`recover`). */
  purpose?: 'serve' | 'examine' | 'repair'
  /** What `recordsReach` answered once: records that end before it are refused (StorageCorrupt). Default: 0. */
  recordsReach?: number
  cache?: 'buffered' | 'direct'
  io?: 'auto' | 'uring' | 'threads'
  /** Threads that serve NBD; 0: one for each core, at most 8. */
  reactors?: number
  /** How long a reactor looks for its next answer before it sleeps, where that is likely to pay; 0: never. Default: 50. */
  busyPollMicroseconds?: number
  /** For lines of the store: warnings and errors of RocksDB. Default: they are dropped. */
  log?: NativeLog
  /** They are closed after the engine's shutdown. Default: none. */
  spaceReserves?: SpaceReserves
}

export interface ExportTarget {
  resourceId: ResourceId
  readOnly: boolean
  description: string
  /** What counters and reports call it: its name may be a secret. */
  label: string
  /** Whose share of the connections is used; empty: nobody's. */
  project: string
}

/** What a client asks for: in a list `ns:` and `ns:kind:` are prefixes, and no name means everything; otherwise names are whole. */
export interface ContextQueries {
  list: boolean
  names: string[]
}

/** A metadata context that an export offers beside base:allocation. */
export interface ExportContext {
  name: string
  /** depth: which layer the data comes from; decided: zeros that a layer made count too; changed: since an ancestor. */
  kind: 'depth' | 'decided' | 'changed'
  /** changed: the ancestor, opened (`Engine.openFor`) for the connection. */
  since?: { resourceId: ResourceId; layer: LayerId; sizeBytes: number }
}

/** The name that `open` knows the export by, or why there is none. */
export type FoundExport = { name: string } | { refusal: string }

export interface ExportResolver {
  /** What a name at the operator's door stands for; the refusal is shown to its client. */
  find(name: string): Promise<FoundExport>
  /** Opens the resource once (`Engine.openFor`) for the connection, or answers null. */
  open(door: NbdDoor, name: string): Promise<ExportTarget | null>
  list(door: NbdDoor): Promise<string[]>
  /** A connection ended because of TLS; for the log. */
  tlsFailed(failure: NativeTlsFailure): void
  /** A client's request that the storage beneath could not do; for the log. */
  requestFailed(failure: NativeRequestFailure): void
  /** Which contexts the export offers, of those asked for. */
  contexts(door: NbdDoor, name: string, queries: ContextQueries): Promise<ExportContext[]>
}

export interface MergeStep {
  parent: LayerId
  child: LayerId
  limitBlocks: number
}

const usualNbdLimits: NativeNbdLimits = {
  ...defaultNbdLimits,
  connectionsOfProject: shareOfProject(defaultNbdLimits.connections),
}

export class Engine {
  readonly #native: NativeEngine

  private constructor(engine: NativeEngine) {
    this.#native = engine
  }

  /** Throws AddonMissing, AddonBroken, and the engine's own errors. */
  static async open(options: EngineOptions, addon: NativeAddon = loadAddon()): Promise<Engine> {
    const { storeDir, purpose = 'serve', cache = 'buffered', io = 'auto' } = options
    const { reactors = 0, busyPollMicroseconds = 50, recordsReach = 0, log, spaceReserves: reserves } = options
    const spaceReserves = reserves?.native
    const given = { storeDir, purpose, cache, io, reactors, busyPollMicroseconds, recordsReach, log, spaceReserves }
    return new Engine(await native(() => addon.openEngine(given)))
  }

  info(): NativeEngineInfo {
    return this.#native.info()
  }

  counters(): NativeCounters {
    return this.#native.counters()
  }

  /** Of each NBD export that has connections, and of those that had one last. */
  exportCounters(): NativeExportCounters[] {
    return this.#native.exportCounters()
  }

  // ---- resources ----

  async lease(spec: ResourceSpec): Promise<Lease> {
    await native(() => this.#native.open(spec))
    return new Lease(this.#native, spec)
  }

  /** Of a read-only resource, for one reader, who ends it. Throws EngineInvalid. */
  reading(spec: ResourceSpec): Reading {
    return new Reading(this.#native, spec)
  }

  /** Takes a lease that an NBD connection will give back. */
  async openFor(spec: ResourceSpec): Promise<void> {
    await native(() => this.#native.open(spec))
  }

  /** Gives back a lease of `openFor` that no connection came to own. */
  closeFor(resource: ResourceId): Promise<void> {
    return native(() => this.#native.close(resource))
  }

  /** Is any lease held, or anybody reading? */
  isOpen(resource: ResourceId): boolean {
    return this.#native.isOpen(resource)
  }

  flush(resource: ResourceId): Promise<void> {
    return native(() => this.#native.flush(resource))
  }

  /** True: the resource is open and its writes are held until `resume`. False: it is not open. */
  quiesce(resource: ResourceId): Promise<boolean> {
    return native(() => this.#native.quiesce(resource))
  }

  resume(resource: ResourceId, spec: { sizeBytes: number; layers: Chain }): Promise<void> {
    return native(() => this.#native.resume(resource, spec))
  }

  usage(spec: ResourceSpec): Promise<NativeUsage> {
    return native(() => this.#native.usage(spec))
  }

  // ---- layers ----

  /** Idempotent. Throws EngineBusy while an open resource's chain holds the layer. */
  dropLayer(layer: LayerId): Promise<void> {
    return native(() => this.#native.dropLayer(layer))
  }

  /** Moves up to `maxRegions` records of the parent into its only child. Answers the next cursor, or -1 at the end. */
  mergeStep(step: MergeStep & { cursor: number; maxRegions: number }): Promise<number> {
    return native(() => this.#native.mergeStep(step))
  }

  /** Open resources forget `parent`; `limitBlocks` is the child's new limit. */
  unlinkLayer(step: MergeStep): Promise<void> {
    return native(() => this.#native.unlinkLayer(step))
  }

  /** Those that have records or a data file, in order. */
  async layers(): Promise<LayerId[]> {
    return (await native(() => this.#native.layers())) as LayerId[]
  }

  /** Is there any layer with this number or a larger one? One seek. */
  async hasLayersFrom(layer: LayerId): Promise<boolean> {
    return (await native(() => this.#native.layers(layer, 1))).length > 0
  }

  // ---- upload ----

  ingest(source: ByteSource, options: IngestOptions): Promise<NativeIngestResult> {
    return ingest(this.#native, source, options)
  }

  // ---- health ----

  /** `layers`: those of the catalog; null when that cannot be read. Throws StorageCorrupt when the records cannot be read. */
  check(options: { layers: LayerId[] | null; data: boolean }): Promise<NativeCheckReport> {
    return native(() => this.#native.check(options))
  }

  /** Counts, garbage and unmentioned space are set right. Answers what was done. Of an engine opened to `repair`. */
  repair(): Promise<string[]> {
    return native(() => this.#native.repair())
  }

  /** Tidies up what an interrupted run left, and what `repair` marked as garbage. Of an engine opened to `repair`. */
  recover(): Promise<void> {
    return native(() => this.#native.recover())
  }

  /** Verifies the next content chunks behind this digest (null: from the first). Must not be under way at `shutdown`. */
  scrub(from: { after: string | null; maxChunks: number }): Promise<NativeScrubStep> {
    return native(() => this.#native.scrub(from))
  }

  /** Which layers' records mention the content chunk. Reads all records; must not be under way at `shutdown`. */
  chunkPlaces(chunk: string): Promise<NativePlace[]> {
    return native(() => this.#native.chunkPlaces(chunk))
  }

  /** An earlier run's scrub found this content chunk damaged: an upload of the same bytes writes it anew, in place of relying on it. */
  markBad(chunk: string): Promise<void> {
    return native(() => this.#native.markBad(chunk))
  }

  /** Which blocks of the region the layer supplies itself. */
  recordBlocks(layer: LayerId, region: number): Promise<NativeBlocks[]> {
    return native(() => this.#native.recordBlocks(layer, region))
  }

  /** Makes the records durable. Returns how far they reach: a number that only grows. */
  recordsReach(): Promise<number> {
    return native(() => this.#native.recordsReach())
  }

  /** Looks whether a few of the data files and chunks that the records mention are there. */
  presence(): Promise<NativePresence> {
    return native(() => this.#native.presence())
  }

  /** Resolves when all space that is unreachable has been given back to the file system. */
  reclaimed(): Promise<void> {
    return native(() => this.#native.reclaimed())
  }

  // ---- NBD ----

  /** Once, before the first `listen`. */
  resolveExportsBy(resolver: ExportResolver, limits = usualNbdLimits): void {
    const callbacks: NativeNbdCallbacks = {
      find: (name) => resolver.find(name),
      open: (door, name) => resolver.open(door, name),
      list: (door) => resolver.list(door),
      tlsFailed: (failure) => resolver.tlsFailed(failure),
      requestFailed: (failure) => resolver.requestFailed(failure),
      contexts: (door, name, queries) => resolver.contexts(door, name, queries),
    }
    this.#native.nbdCallbacks(callbacks, limits)
  }

  /**
   * What TLS shows and demands from now on; before the first listener with TLS. Throws TlsUnusable, which says what is wrong with
   * which of the texts; what was set before goes on.
   */
  setTls(material: NativeTlsMaterial): void {
    try {
      this.#native.nbdTls(material)
    } catch (error) {
      throw new TlsUnusable(asError(error).message, { cause: error })
    }
  }

  /** `HOST:PORT` or `unix:PATH`, or the listening socket `inherited`. Answers the address with the real port. */
  listen(options: {
    address: string
    door: NbdDoor
    tls?: NbdTlsMode
    mode?: number
    inherited?: number | undefined
  }): Promise<string> {
    return native(() => this.#native.nbdListen({ tls: 'off', ...options }))
  }

  /** Ends every connection that came by this export name. */
  disconnect(exportName: string): Promise<void> {
    return native(() => this.#native.nbdDisconnect(exportName))
  }

  /** Ends the connections of these exports, so that their clients connect again. Waits for requests in flight, at most 10 s. */
  reconnect(exportNames: string[]): Promise<NativeReconnected> {
    return native(() => this.#native.nbdReconnect(exportNames))
  }

  /** Ends the connections, flushes and closes everything. Returns `recordsReach` as of then; 0 if it is not known. */
  shutdown(): Promise<number> {
    return native(() => this.#native.shutdown())
  }
}

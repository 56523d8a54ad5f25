/**
 * The typed façade of the native engine: branded IDs, errors of the catalog, leases, read handles and streams. This file has its
 * life cycle; each part of {@link Engine} is one subject in a file of its own. The façade adds no policy: which layers exist and who
 * may use them is decided on the floors above.
 */

import type {
  NativeCounters as EngineCounters,
  NativeEngineInfo as EngineInfo,
  NativeLog as EngineLog,
  NativeAddon,
  NativeEngine,
} from '../addon/contract.js'
import { native } from '../addon/errors.js'
import { loadAddon } from '../addon/load.js'
import { Health } from './health.js'
import { Layers } from './layers.js'
import { Nbd } from './nbd.js'
import { Readers } from './readers.js'
import { Resources } from './resources.js'
import type { SpaceReserves } from './space_reserves.js'
import { Uploads } from './uploads.js'

export type { EngineCounters, EngineInfo, EngineLog }

export interface EngineOptions {
  /** Holds `data/`, `content/` and `records/`; created if missing. */
  storeDir: string
  /** Default: serve. examine: changes nothing. repair: cleans up after an interrupted run only in `health.recover`. */
  purpose?: 'serve' | 'examine' | 'repair'
  /** An earlier result of `health.recordsReach`: records that end before it are refused (StorageCorrupt). Default: 0. */
  recordsReach?: number
  cache?: 'buffered' | 'direct'
  io?: 'auto' | 'uring' | 'threads'
  /** Threads that serve NBD; 0: one for each core, at most 8. */
  reactors?: number
  /** How long a reactor polls for completions before it sleeps, where that is likely to pay; 0: never. Default: 50. */
  busyPollMicroseconds?: number
  /** Receives warnings and errors of RocksDB. Default: they are dropped. */
  log?: EngineLog
  /** Closed by their owner after the engine's shutdown. Default: none. */
  spaceReserves?: SpaceReserves
}

export class Engine {
  readonly resources: Resources
  readonly layers: Layers
  readonly uploads: Uploads
  readonly readers: Readers
  readonly nbd: Nbd
  readonly health: Health
  readonly #native: NativeEngine

  private constructor(engine: NativeEngine) {
    this.#native = engine
    this.resources = new Resources(engine.resources)
    this.layers = new Layers(engine.layers)
    this.uploads = new Uploads(engine.uploads)
    this.readers = new Readers(engine.readers)
    this.nbd = new Nbd(engine.nbd)
    this.health = new Health(engine.health)
  }

  /** Throws AddonMissing, AddonBroken, and the engine's own errors. */
  static async open(options: EngineOptions, addon: NativeAddon = loadAddon()): Promise<Engine> {
    const { storeDir, purpose = 'serve', cache = 'buffered', io = 'auto' } = options
    const { reactors = 0, busyPollMicroseconds = 50, recordsReach = 0, log, spaceReserves: reserves } = options
    const spaceReserves = reserves?.native
    const given = { storeDir, purpose, cache, io, reactors, busyPollMicroseconds, recordsReach, log, spaceReserves }
    return new Engine(await native(() => addon.openEngine(given)))
  }

  info(): EngineInfo {
    return this.#native.info()
  }

  counters(): EngineCounters {
    return this.#native.counters()
  }

  /** Ends the connections, flushes and closes everything. Returns `health.recordsReach` as of then; 0 if it is unknown. */
  shutdown(): Promise<number> {
    return native(() => this.#native.shutdown())
  }
}

/**
 * The interface of the C++ addon (`native/node`): the engine's life cycle here, each other subject in a file of `contract/`.
 * Plain data crosses it once per call; TypeScript validates the arguments first. Whatever may take time returns a promise. A
 * failure rejects with an `Error` whose `code` is a {@link NativeErrorCode}.
 *
 * Only `src/engine` imports these files; the floors above use its typed façade.
 */

import type { NativeHealth } from './contract/health.js'
import type { NativeLayers } from './contract/layers.js'
import type { NativeNbd } from './contract/nbd.js'
import type { NativeReaders } from './contract/readers.js'
import type { NativeResources } from './contract/resources.js'
import type { NativeUploads } from './contract/uploads.js'

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

export interface NativeEngineOptions {
  /** Holds `data/`, `content/` and `records/`; created if missing. */
  storeDir: string
  /** examine: changes nothing. repair: cleans up after an interrupted run only in `recover`. */
  purpose: 'serve' | 'examine' | 'repair'
  /** An earlier result of `recordsReach`. Records that end before it are refused as `corrupt`. */
  recordsReach: number
  cache: 'buffered' | 'direct'
  io: 'auto' | 'uring' | 'threads'
  /** Threads that serve NBD and the block maps; 0: one for each core, at most 8. */
  reactors: number
  /** How long a reactor polls for completions before it sleeps, where that is likely to pay: native/io/busy_poll.h. 0: never. */
  busyPollMicroseconds: number
  /** Receives warnings and errors of RocksDB. undefined: they are dropped. */
  log?: NativeLog | undefined
  /** Closed by their owner after the engine's shutdown. undefined: none. */
  spaceReserves?: NativeSpaceReserves | undefined
}

/** `suppressed`: how many lines were dropped since the last one because of the rate limit. */
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
  /** Whether acknowledged writes survive the end of the process: native/store/dirty_log/dirty_log.h. */
  dirtyLogs: boolean
  /** Logs of an earlier boot or mount, discarded at the start. */
  dirtyLogsDiscarded: number
}

/** Monotonic since start, except the gauges `openResources`, `connections` and `garbageEntries`. Byte counts stay below 2^53. */
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
  /** Unreachable space that is not yet returned to the file system; 0: none. */
  garbageEntries: number
}

/** An open engine. */
export interface NativeEngine {
  info(): NativeEngineInfo
  counters(): NativeCounters
  readonly resources: NativeResources
  readonly layers: NativeLayers
  readonly uploads: NativeUploads
  readonly readers: NativeReaders
  readonly nbd: NativeNbd
  readonly health: NativeHealth
  /** Closes the listeners, drains the connections, flushes and closes everything. Returns `recordsReach`; 0: unknown. */
  shutdown(): Promise<number>
}

export interface NativeAddon {
  openEngine(options: NativeEngineOptions): Promise<NativeEngine>
  /** Returns a function that releases the lock. Throws `busy` while it is held: native/store/directory_lock.h. */
  lockDirectory(path: string): () => void
  openSpaceReserves(options: { directories: string[]; bytes: number; log?: NativeLog | undefined }): NativeSpaceReserves
  /**
   * Returns the address (`HOST:PORT`, `unix:PATH`) of a socket that this process was started with, and sets its close-on-exec flag.
   * Throws `invalid` unless it is a listening stream socket.
   */
  inheritedSocketAddress(fd: number): string
  /** Sends one datagram to a Unix socket, a path or `@NAME` (sd_notify(3)). Waits at most one second; throws if it is not accepted. */
  notifyServiceManager(address: string, state: string): void
}

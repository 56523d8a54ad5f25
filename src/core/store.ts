/** A data directory in use: its lock, the engine, the catalog and the core over them. */

import { join } from 'node:path'
import { Catalog } from '../catalog/catalog.js'
import { Engine, type EngineLog, type EngineOptions } from '../engine/engine.js'
import type { NbdLimits } from '../engine/nbd.js'
import { SpaceReserves } from '../engine/space_reserves.js'
import type { Logger } from '../lib/log.js'
import { Core } from './core.js'
import { DataDirectory } from './directory/data_directory.js'
import type { ScrubSettings } from './health/scrub.js'
import { recordsReachOf, StoreIdentity } from './directory/store_identity.js'

export interface StoreOptions extends Omit<EngineOptions, 'storeDir' | 'recordsReach' | 'log' | 'spaceReserves'> {
  dataDir: string
  log: Logger
  nbdLimits?: NbdLimits
  /** Default: none. */
  scrub?: ScrubSettings
  /** `sqlite`, or the URL of a PostgreSQL database. Default: what the data directory was used with before, at first `sqlite`. */
  catalog?: string | undefined
  /** Of the catalog (CatalogOptions). */
  guard?: boolean
  /** On each file system (SpaceReserves). Default: none. */
  spaceReserveBytes?: number
}

export interface Store {
  directory: DataDirectory
  engine: Engine
  catalog: Catalog
  core: Core
  identity: StoreIdentity
  spaceReserves: SpaceReserves
  /** Ends the background work and all connections, and closes everything. Idempotent. */
  close(): Promise<void>
}

const noScrub: ScrubSettings = { bytesPerSecond: 0, intervalMs: 0 }

/** Call `core.startBackground()` once the doors are open. */
export async function openStore({
  dataDir,
  log,
  nbdLimits,
  scrub = noScrub,
  catalog: catalogPlace,
  guard = true,
  spaceReserveBytes = 0,
  ...options
}: StoreOptions): Promise<Store> {
  const undo: (() => unknown)[] = []
  // The last opened is closed first.
  const closeAll = async () => {
    for (let close = undo.pop(); close !== undefined; close = undo.pop()) await close()
  }
  try {
    const { directory, unlock } = DataDirectory.open(dataDir)
    undo.push(unlock)
    const directories = [directory.path, directory.store, join(directory.store, 'records')]
    const nativeLog = logOf(log)
    const reserves = await SpaceReserves.open({ directories, bytes: spaceReserveBytes, log: nativeLog })
    undo.push(() => reserves.close())
    reserves.prepareStart()
    // Before the engine: a catalog that is too new refuses the start before anything is touched.
    const location = directory.catalogAt(catalogPlace)
    StoreIdentity.refuseLostCatalog(directory, location)
    const catalog = await Catalog.open({ ...location, guard, reserve: reserves })
    undo.push(() => catalog.close())
    const identity = await StoreIdentity.verify({ directory, catalog, log })
    directory.rememberCatalog(location)
    const recordsReach = recordsReachOf(directory)
    const engine = await Engine.open({
      ...options,
      storeDir: directory.store,
      recordsReach,
      log: nativeLog,
      spaceReserves: reserves,
    })
    undo.push(async () => {
      await identity.stop()
      await identity.end(await engine.shutdown())
    })
    await identity.begin(engine)
    const { dirtyLogs, dirtyLogsDiscarded } = engine.info()
    if (!dirtyLogs)
      log.info(
        'this kernel (before Linux 6.8) cannot tell mounts apart: what is not flushed is lost if this process is killed',
      )
    if (dirtyLogsDiscarded > 0)
      log.info(
        { volumes: dirtyLogsDiscarded },
        'writes that were not flushed before the last boot or mount are thrown away',
      )
    const core = await Core.open({ catalog, engine, log, scrub: { ...scrub, statePath: directory.scrubState } })
    engine.nbd.resolveExportsBy(core.exports, nbdLimits)
    undo.push(() => core.close())
    reserves.keep()
    let closing: Promise<void> | undefined
    const close = () => {
      closing ??= closeAll()
      return closing
    }
    return { directory, engine, catalog, core, identity, spaceReserves: reserves, close }
  } catch (error) {
    await closeAll()
    throw error
  }
}

const logOf =
  (log: Logger): EngineLog =>
  (level, message, suppressed) =>
    log[level](suppressed > 0 ? { suppressed } : {}, message)

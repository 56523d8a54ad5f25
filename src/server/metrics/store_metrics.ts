/** Metrics of the store: engine, catalog, space, reaper and scrub. */

import { statfs } from 'node:fs/promises'
import { sql } from 'kysely'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Store } from '../../core/store.js'

/** Counting the catalog's rows takes time in proportion to their number. */
const countsKeptMs = 60_000

const engineCounters = {
  bytesRead: ['atoll_engine_read_bytes_total', 'Bytes read from resources, by NBD and HTTP.'],
  bytesWritten: ['atoll_engine_written_bytes_total', 'Bytes written to resources, by NBD and HTTP.'],
  contentBytesWritten: [
    'atoll_engine_content_written_bytes_total',
    'Bytes of content chunks written; repeated content is not.',
  ],
  bytesPunched: ['atoll_engine_freed_bytes_total', 'Bytes returned to the file system.'],
  dataSyncs: ['atoll_engine_data_syncs_total', 'Syncs of data files.'],
  recordsCommitted: ['atoll_engine_records_committed_total', 'Records made durable.'],
  recordCommits: ['atoll_engine_record_commits_total', 'Commits of records; each holds the records of all who waited.'],
} as const

const engineGauges = {
  openResources: ['atoll_engine_open_resources', 'Resources that are open.'],
  connections: ['atoll_nbd_connections', 'Open NBD connections.'],
  garbageEntries: [
    'atoll_engine_garbage_entries',
    'Pieces of space that nothing refers to and that are not returned yet.',
  ],
} as const

type Name = readonly [name: string, help: string]

export class StoreMetrics {
  readonly #store: Store
  readonly #counters: [keyof typeof engineCounters, Counter][]
  readonly #gauges: [keyof typeof engineGauges, Gauge][]
  readonly #resources: Gauge<'kind'>
  readonly #objectBytes: Gauge
  readonly #volumeBytes: Gauge
  readonly #space: Gauge<'state'>
  readonly #reserveLow: Gauge
  readonly #backlog: Gauge
  readonly #findings: Gauge
  readonly #scrubEnd: Gauge
  #countedAt = Number.NEGATIVE_INFINITY

  constructor(registry: Registry, store: Store) {
    this.#store = store
    const registers = [registry]
    const gauge = ([name, help]: Name) => new Gauge({ name, help, registers })
    this.#counters = keysOf(engineCounters).map((key) => {
      const [name, help] = engineCounters[key]
      return [key, new Counter({ name, help, registers })]
    })
    this.#gauges = keysOf(engineGauges).map((key) => [key, gauge(engineGauges[key])])
    this.#resources = new Gauge({
      name: 'atoll_resources',
      help: 'Volumes, snapshots, images, objects and attachments of all projects; at most a minute old.',
      labelNames: ['kind'],
      registers,
    })
    this.#objectBytes = gauge(['atoll_object_bytes', 'Sizes of all objects; at most a minute old.'])
    this.#volumeBytes = gauge([
      'atoll_volume_bytes',
      'Sizes of all volumes as their users see them; at most a minute old.',
    ])
    this.#space = new Gauge({
      name: 'atoll_store_filesystem_bytes',
      help: 'The file system of the data directory: its size, and what is available to the server.',
      labelNames: ['state'],
      registers,
    })
    this.#reserveLow = gauge(['atoll_space_reserve_low', '1 while the space reserve is used and growth is refused.'])
    this.#backlog = gauge(['atoll_reaper_backlog', 'Layers that wait to be given back.'])
    this.#findings = gauge(['atoll_scrub_bad_chunks', 'Content chunks that were damaged when they were last read.'])
    this.#scrubEnd = gauge([
      'atoll_scrub_last_pass_end_seconds',
      'When the last scrub pass ended, in seconds since 1970; 0: none has.',
    ])
  }

  async update(): Promise<void> {
    const { core, engine, directory, spaceReserves } = this.#store
    const counters = engine.counters()
    for (const [key, counter] of this.#counters) {
      counter.reset()
      counter.inc(counters[key])
    }
    for (const [key, gauge] of this.#gauges) gauge.set(counters[key])
    this.#reserveLow.set(spaceReserves.low() ? 1 : 0)
    this.#backlog.set(core.reaper.backlog)
    const scrub = core.scrub.report()
    this.#findings.set(scrub.findings.length)
    this.#scrubEnd.set((scrub.lastPass?.endedAt ?? 0) / 1000)
    const { bsize, blocks, bavail } = await statfs(directory.path)
    this.#space.set({ state: 'size' }, blocks * bsize)
    this.#space.set({ state: 'available' }, bavail * bsize)
    await this.#count()
  }

  async #count(): Promise<void> {
    if (performance.now() - this.#countedAt < countsKeptMs) return
    const { db } = this.#store.catalog
    for (const kind of ['volumes', 'snapshots', 'images', 'attachments'] as const) {
      const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(kind)}`.execute(db)
      this.#resources.set({ kind }, Number(rows[0]?.count))
    }
    // Kept by the accounts: there may be millions of objects.
    const objects = await sql<{ count: number; bytes: number }>`
      select coalesce(sum(object_count), 0) as count, coalesce(sum(bytes_used), 0) as bytes from accounts`.execute(db)
    this.#resources.set({ kind: 'objects' }, Number(objects.rows[0]?.count))
    this.#objectBytes.set(Number(objects.rows[0]?.bytes))
    const volumes = await sql<{ gib: number }>`select coalesce(sum(size_gib), 0) as gib from volumes`.execute(db)
    this.#volumeBytes.set(Number(volumes.rows[0]?.gib) * 2 ** 30)
    this.#countedAt = performance.now()
  }
}

const keysOf = <Key extends string>(table: Record<Key, unknown>) => Object.keys(table) as Key[]

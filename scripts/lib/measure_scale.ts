// measure_scale.ts: what scripts/measure-scale prints. Uses the engine, the catalog and the layer tree as the server does,
// without HTTP, so that milliseconds of that do not hide what is measured.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { Catalog } from '../../src/catalog/catalog.js'
import { Core } from '../../src/core/core.js'
import { Engine } from '../../src/engine/engine.js'
import type { ResourceId } from '../../src/lib/ids.js'
import { silentLogger } from '../../src/lib/log.js'
import { GiB, KiB, MiB } from '../../src/lib/units.js'

const regionBytes = 4 * MiB
const tries = 21
const depth = 1000

interface Store {
  core: Core
  engine: Engine
  socket: string
}

/** Without the doors of HTTP; over NBD every resource is found by its id. */
async function openStore(dir: string): Promise<Store & { close(): Promise<void> }> {
  const catalog = await Catalog.open({ path: join(dir, 'catalog.db') })
  const engine = await Engine.open({ storeDir: join(dir, 'store') })
  const core = await Core.open({ catalog, engine, log: silentLogger() })
  engine.resolveExportsBy({
    open: async (_door, name) => {
      const resourceId = name as ResourceId
      const found = await core.tree.openForNbd(resourceId, async () => true)
      return found ? { resourceId, readOnly: false, description: '' } : null
    },
    list: async () => [],
    tlsFailed: () => {},
    contexts: async () => [],
  })
  const socket = join(dir, 'nbd.sock')
  await engine.listen({ address: `unix:${socket}`, door: 'operator', mode: 0o600 })
  const close = async () => {
    await core.close()
    await engine.shutdown()
    await catalog.close()
  }
  return { core, engine, socket, close }
}

function blank({ core }: Store, sizeBytes: number): Promise<ResourceId> {
  return core.tree.createBlank({ sizeBytes, mode: 'rw' }, async (_tx, id) => id)
}

function snapshot({ core }: Store, of: ResourceId): Promise<ResourceId> {
  return core.tree.snapshot(of, async (_tx, id) => id)
}

function clone({ core }: Store, of: ResourceId, sizeBytes: number): Promise<ResourceId> {
  return core.tree.clone(of, { sizeBytes }, async (_tx, id) => id)
}

// ---- by size ----

/** A resource with a record for each of its regions: one block of data in each. */
async function mapped(store: Store, sizeBytes: number): Promise<ResourceId> {
  const id = await blank(store, sizeBytes)
  const lease = await store.core.tree.lease(id)
  const block = Buffer.alloc(4 * KiB, 'atoll')
  const regions = Math.ceil(sizeBytes / regionBytes)
  for (let first = 0; first < regions; first += 64) {
    const batch = Array.from({ length: Math.min(64, regions - first) }, (_, i) => (first + i) * regionBytes)
    await Promise.all(batch.map((offset) => lease.write(offset, block)))
  }
  await lease.flush()
  await lease.close()
  return id
}

async function costsBySize(store: Store): Promise<void> {
  const costs: Record<string, Costs> = {}
  for (const [name, sizeBytes] of [
    ['1 MiB', MiB],
    ['1 TiB', 1024 * GiB],
  ] as const) {
    const [makingMs, id] = await timed(() => mapped(store, sizeBytes))
    const regions = Math.ceil(sizeBytes / regionBytes)
    say(
      `${name}: ${regions} regions, each with a record and 4 KiB of data, written in ${(makingMs / 1000).toFixed(1)} s`,
    )
    costs[name] = await cloneAndSnapshot(store, id, sizeBytes)
  }
  const small = costs['1 MiB'] as Costs
  const large = costs['1 TiB'] as Costs
  say(`median of ${tries}, in ms                        1 MiB    1 TiB`)
  for (const what of Object.keys(small)) {
    const [atSmall = 0, atLarge = 0] = [small[what], large[what]]
    say(`  ${what.padEnd(36)}${atSmall.toFixed(2).padStart(11)}${atLarge.toFixed(2).padStart(9)}`)
  }
}

type Costs = Record<string, number>

async function cloneAndSnapshot(store: Store, id: ResourceId, sizeBytes: number): Promise<Costs> {
  const before = store.engine.counters()
  const base = await snapshot(store, id)
  const costs: Costs = {
    'clone of a snapshot': await median(() => clone(store, base, sizeBytes)),
    'snapshot, not open': await median(() => snapshot(store, id)),
  }
  // Open, with every region in the map: what the snapshot of an attached volume meets.
  const lease = await store.core.tree.lease(id)
  for (let offset = 0; offset < sizeBytes; offset += regionBytes) await lease.read(offset, 4 * KiB)
  costs['snapshot, open and all in memory'] = await median(() => snapshot(store, id))
  costs['clone, open and all in memory'] = await median(() => clone(store, id, sizeBytes))
  await lease.close()
  const after = store.engine.counters()
  costs['data bytes written by all of these'] = after.bytesWritten - before.bytesWritten
  return costs
}

// ---- by depth ----

const filledBytes = 256 * MiB

/** 256 MiB of data, then 8 random blocks for each of 1,000 steps; with a snapshot that stays after each, or without. */
async function withHistory(store: Store, snapshots: boolean): Promise<ResourceId> {
  const id = await blank(store, GiB)
  const lease = await store.core.tree.lease(id)
  for (let offset = 0; offset < filledBytes; offset += MiB)
    await lease.write(offset, Buffer.alloc(MiB, 1 + offset / MiB))
  const random = randomNumbers(20)
  for (let step = 0; step < depth; step++) {
    for (let write = 0; write < 8; write++)
      await lease.write(Math.floor(random() * (filledBytes / 4096)) * 4096, Buffer.alloc(4 * KiB, step))
    if (snapshots) await snapshot(store, id)
  }
  await lease.flush()
  await lease.close()
  return id
}

async function readsByDepth(store: Store): Promise<void> {
  const flat = await withHistory(store, false)
  const deep = await withHistory(store, true)
  say(`random reads of 4 KiB from ${filledBytes / MiB} MiB, at depth 1 and behind ${depth} living snapshots`)
  const touch = { flat: await firstTouch(store, flat), deep: await firstTouch(store, deep) }
  say(`  first read of a region after opening: ${touch.flat.toFixed(3)} ms and ${touch.deep.toFixed(3)} ms`)
  const iops = { flat: [] as number[], deep: [] as number[] }
  for (let round = 0; round < 3; round++) {
    iops.flat.push(await randomReads(store, flat))
    iops.deep.push(await randomReads(store, deep))
  }
  const [flatIops, deepIops] = [middle(iops.flat), middle(iops.deep)]
  say(`  steady: ${Math.round(flatIops)} and ${Math.round(deepIops)} reads a second`)
  say(`  ratio of depth ${depth} to depth 1: ${(deepIops / flatIops).toFixed(2)}`)
}

/** Mean milliseconds of the first read in each region: the walk over the records of the chain. */
async function firstTouch({ core }: Store, id: ResourceId): Promise<number> {
  const lease = await core.tree.lease(id)
  const [ms] = await timed(async () => {
    for (let offset = 0; offset < filledBytes; offset += regionBytes) await lease.read(offset, 4 * KiB)
  })
  await lease.close()
  return ms / (filledBytes / regionBytes)
}

/** Reads a second, over NBD, 16 in flight, for 5 seconds. */
async function randomReads({ socket }: Store, id: ResourceId): Promise<number> {
  const load = ['--rw=randread', '--bs=4k', '--iodepth=16', `--size=${filledBytes}`, '--time_based', '--runtime=5']
  const target = ['--ioengine=nbd', `--uri=nbd+unix:///${id}?socket=${socket}`]
  const { stdout } = await execa('fio', ['--name=reads', ...target, ...load, '--output-format=json'])
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: { read: { iops: number } }[] }
  return report.jobs[0]?.read.iops ?? 0
}

// ---- figures ----

async function timed<Result>(call: () => Promise<Result>): Promise<[number, Result]> {
  const begin = performance.now()
  const result = await call()
  return [performance.now() - begin, result]
}

async function median(call: () => Promise<unknown>): Promise<number> {
  const all: number[] = []
  for (let n = 0; n < tries; n++) all.push((await timed(call))[0])
  return middle(all)
}

function middle(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
}

/** The same numbers from the same seed, in [0, 1). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

function say(line: string): void {
  console.log(line)
}

const dir = await mkdtemp(join(tmpdir(), 'atoll-scale-'))
try {
  const store = await openStore(dir)
  await costsBySize(store)
  await readsByDepth(store)
  await store.close()
} finally {
  await rm(dir, { recursive: true, force: true })
}

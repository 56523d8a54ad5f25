import t from 'tap'
import type { Transaction } from '../../../src/catalog/types.js'
import { specOf } from '../../../src/core/tree/chain.js'
import type { Tree } from '../../../src/core/tree/tree.js'
import type { Lease } from '../../../src/engine/lease.js'
import { ResourceReadable } from '../../../src/engine/read_stream.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { MiB } from '../../../src/lib/units.js'
import { collect, newDice, pieces, TestStore } from '../support.js'

const same = async (_tx: Transaction, resource: ResourceId) => resource

async function write(tree: Tree, id: ResourceId, offset: number, data: Buffer): Promise<void> {
  const lease = await tree.lease(id)
  await lease.write(offset, data)
  await lease.close()
}

async function read(tree: Tree, id: ResourceId): Promise<Buffer> {
  const lease = await tree.lease(id)
  const data = await collect(new ResourceReadable(lease, { start: 0, end: lease.sizeBytes }))
  await lease.close()
  return data
}

const release = (store: TestStore, id: ResourceId) =>
  store.core.catalog.transaction((tx) => store.core.tree.release(tx, id))
const depth = async (store: TestStore, id: ResourceId) => (await specOf(store.core.catalog.db, id)).layers.length

t.test('deleting everything leaves no layer, in whatever order', async (t) => {
  const store = await TestStore.open(t)
  const { tree } = store.core
  for (const order of ['oldest first', 'newest first']) {
    const image = await tree.createFromIngest(pieces(Buffer.alloc(5 * MiB, 'i')), {}, same)
    const volume = await tree.clone(image, { sizeBytes: 8 * MiB }, same)
    await write(tree, volume, 0, Buffer.alloc(MiB, 'v'))
    const snapshot = await tree.snapshot(volume, same)
    const clone = await tree.clone(snapshot, { sizeBytes: 8 * MiB }, same)
    await write(tree, clone, MiB, Buffer.alloc(MiB, 'c'))
    const all = [image, volume, snapshot, clone]
    for (const id of order === 'oldest first' ? all : all.reverse()) await release(store, id)
    t.same(await store.layersLeft(), { rows: 0, engine: 0 }, order)
  }
})

t.test('the chain is as deep as there are living snapshots, never as those ever taken', async (t) => {
  const store = await TestStore.open(t)
  const { tree } = store.core
  const volume = await tree.createBlank({ sizeBytes: 4 * MiB, mode: 'rw' }, same)
  const snapshots: ResourceId[] = []
  for (let i = 0; i < 30; i++) {
    await write(tree, volume, i * 4096, Buffer.alloc(4096, `${i % 10}`))
    snapshots.push(await tree.snapshot(volume, same))
  }
  t.equal(await depth(store, volume), 31)
  const [kept] = snapshots.splice(15, 1) as [ResourceId]
  const then = await read(tree, kept)
  for (const id of snapshots) await release(store, id)
  await store.core.settled()
  t.equal(await depth(store, volume), 2)
  t.equal(await depth(store, kept), 1)
  t.ok((await read(tree, kept)).equals(then))
  const data = await read(tree, volume)
  for (let i = 0; i < 30; i++) {
    if (data[i * 4096] !== 48 + (i % 10)) t.fail(`block ${i} is ${data[i * 4096]}`)
  }
})

t.test('a parent with several children stays hidden until one is left', async (t) => {
  const store = await TestStore.open(t)
  const { tree } = store.core
  const image = await tree.createFromIngest(pieces(Buffer.alloc(MiB, 'i')), {}, same)
  const clones = [1, 2, 3].map(() => tree.clone(image, { sizeBytes: MiB }, same))
  const [a, b, c] = (await Promise.all(clones)) as [ResourceId, ResourceId, ResourceId]
  await release(store, image)
  t.equal((await store.layersLeft()).rows, 4)
  await release(store, a)
  t.equal((await store.layersLeft()).rows, 3)
  await release(store, b)
  t.equal((await store.layersLeft()).rows, 1, 'merged into the last')
  t.ok((await read(tree, c)).equals(Buffer.alloc(MiB, 'i')))
})

for (const [how, begin] of [
  ['leased it', (tree: Tree, id: ResourceId) => tree.lease(id)],
  ['opened it for himself', async (tree: Tree, id: ResourceId) => tree.readHandle(id)],
] as const)
  t.test(`who ${how} reads what is being deleted to its end, and then its space comes back`, async (t) => {
    const store = await TestStore.open(t)
    const { tree } = store.core
    const volume = await tree.createBlank({ sizeBytes: 16 * MiB, mode: 'rw' }, same)
    await write(tree, volume, 0, Buffer.alloc(16 * MiB, 'a'))
    const snapshot = await tree.snapshot(volume, same)
    await write(tree, volume, 0, Buffer.alloc(16 * MiB, 'b'))
    const reader = await begin(tree, snapshot)
    t.equal((await reader.read(0, 1)).toString(), 'a')
    await release(store, snapshot)
    // Long enough for a merge, if it were allowed: it would move the blocks from under the reader.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    t.ok((await collect(new ResourceReadable(reader, { start: 0, end: 16 * MiB }))).equals(Buffer.alloc(16 * MiB, 'a')))
    t.ok(store.core.reaper.backlog > 0)
    if ('close' in reader) await reader.close()
    else reader.end()
    t.equal((await store.layersLeft()).rows, 1)
    t.ok((await read(tree, volume)).equals(Buffer.alloc(16 * MiB, 'b')))
  })

t.test('a layer is merged into a head that is being written', async (t) => {
  const store = await TestStore.open(t)
  const { tree } = store.core
  const volume = await tree.createBlank({ sizeBytes: 32 * MiB, mode: 'rw' }, same)
  await write(tree, volume, 0, Buffer.alloc(32 * MiB, 'a'))
  const snapshot = await tree.snapshot(volume, same)
  const lease = await tree.lease(volume)
  const expected = Buffer.alloc(32 * MiB, 'a')
  const dice = newDice(t)
  await release(store, snapshot)
  for (let i = 0; i < 500; i++) {
    const offset = dice.below(32 * MiB - 9000)
    const data = Buffer.alloc(dice.below(9000) + 1, `${i % 10}`)
    await lease.write(offset, data)
    data.copy(expected, offset)
  }
  await store.core.settled()
  t.equal(await depth(store, volume), 1)
  t.ok((await lease.read(0, 32 * MiB)).equals(expected), 'open')
  await lease.close()
  t.ok((await read(tree, volume)).equals(expected), 'opened again')
})

t.test('what an interrupted run left is found and given back at the next start', async (t) => {
  const store = await TestStore.open(t)
  const { core } = store
  const image = await core.tree.createFromIngest(pieces(Buffer.alloc(5 * MiB, 'i')), {}, same)
  // As after a crash between the engine and the catalog: layers that no row knows, rows that nobody finished.
  const orphan = 77 as never
  await core.engine.uploads.ingest(pieces(Buffer.alloc(5 * MiB, 'o')), { layer: orphan })
  const volume = await core.tree.clone(image, { sizeBytes: 8 * MiB }, same)
  await write(core.tree, volume, 0, Buffer.alloc(MiB, 'v'))
  await core.reaper.stop()
  await release(store, image)
  t.equal((await core.catalog.db.selectFrom('layers').select('id').execute()).length, 2, 'nothing is freed yet')
  await store.restart()
  t.same(await store.layersLeft(), { rows: 1, engine: 1 })
  const data = await read(store.core.tree, volume)
  t.ok(data.equals(Buffer.concat([Buffer.alloc(MiB, 'v'), Buffer.alloc(4 * MiB, 'i'), Buffer.alloc(3 * MiB)])))
})

t.test('layer numbers are never used again, also not after a restart', async (t) => {
  const store = await TestStore.open(t)
  const head = async (id: ResourceId) => (await specOf(store.core.catalog.db, id)).layers[0]?.id ?? 0
  const make = () => store.core.tree.createBlank({ sizeBytes: 4096, mode: 'rw' }, same)
  let last = 0
  for (let i = 0; i < 3; i++) {
    const id = await make()
    t.ok((await head(id)) > last)
    last = await head(id)
    await release(store, id)
    await store.restart()
  }
})

interface Model {
  id: ResourceId
  bytes: Buffer
  writable: boolean
  lease?: Lease
}

t.test('random operations give what a plain model in memory gives, and leave nothing behind', async (t) => {
  const store = await TestStore.open(t)
  const dice = newDice(t)
  const steps = Number(process.env.ATOLL_STEPS ?? 400)
  let models: Model[] = []
  const unit = 256 * 1024
  const add = (id: ResourceId, bytes: Buffer, writable: boolean) => void models.push({ id, bytes, writable })
  const closeAll = async () => {
    for (const model of models) {
      await model.lease?.close()
      delete model.lease
    }
  }
  const compare = async (model: Model, step: number) => {
    const lease = model.lease ?? (await store.core.tree.lease(model.id))
    const data = await lease.read(0, model.bytes.length)
    if (model.lease === undefined) await lease.close()
    if (!data.equals(model.bytes)) {
      const at = data.findIndex((byte, i) => byte !== model.bytes[i])
      throw new Error(`step ${step}: ${model.id} differs at byte ${at} of ${data.length}`)
    }
  }
  for (let step = 0; step < steps; step++) {
    const { tree } = store.core
    const model = models.length > 0 ? dice.pick(models) : undefined
    const action = dice.below(100)
    if (model === undefined || (action < 8 && models.length < 12)) {
      const sizeBytes = (1 + dice.below(40)) * unit
      if (dice.next() < 0.5) add(await tree.createBlank({ sizeBytes, mode: 'rw' }, same), Buffer.alloc(sizeBytes), true)
      else {
        const bytes = Buffer.alloc(sizeBytes - dice.below(5000), `${step}`)
        add(await tree.createFromIngest(pieces(bytes), {}, same), bytes, false)
      }
    } else if (action < 45) {
      if (!model.writable) continue
      model.lease ??= await tree.lease(model.id)
      const offset = dice.below(model.bytes.length)
      const data = Buffer.alloc(1 + dice.below(Math.min(model.bytes.length - offset, 600_000)), `${step}.`)
      await model.lease.write(offset, data)
      data.copy(model.bytes, offset)
    } else if (action < 50) {
      if (!model.writable) continue
      model.lease ??= await tree.lease(model.id)
      const offset = dice.below(model.bytes.length)
      const length = 1 + dice.below(model.bytes.length - offset)
      await model.lease.writeZeroes(offset, length)
      model.bytes.fill(0, offset, offset + length)
    } else if (action < 60) {
      add(await tree.snapshot(model.id, same), Buffer.from(model.bytes), false)
    } else if (action < 68) {
      const sizeBytes = Math.ceil(model.bytes.length / unit + dice.below(3)) * unit
      const bytes = Buffer.concat([model.bytes, Buffer.alloc(sizeBytes - model.bytes.length)])
      add(await tree.clone(model.id, { sizeBytes }, same), bytes, true)
    } else if (action < 72) {
      if (!model.writable) continue
      const sizeBytes = (1 + dice.below(40)) * unit
      await tree.resize(model.id, { sizeBytes }, async () => undefined)
      const kept = model.bytes.subarray(0, sizeBytes)
      model.bytes = Buffer.concat([kept, Buffer.alloc(sizeBytes - kept.length)])
      // A lease tells the size of its beginning.
      await model.lease?.close()
      delete model.lease
    } else if (action < 84) {
      await release(store, model.id)
      models = models.filter((other) => other !== model)
      await model.lease?.close()
    } else if (action < 88) {
      await model.lease?.close()
      delete model.lease
    } else if (action < 90) {
      await closeAll()
      await store.restart()
    } else {
      await compare(model, step)
    }
  }
  for (const model of models) await compare(model, steps)
  await store.core.settled()
  for (const model of models) await compare(model, steps)
  t.pass(`${steps} steps, ${models.length} resources at the end`)
  await closeAll()
  for (const model of models) await release(store, model.id)
  t.same(await store.layersLeft(), { rows: 0, engine: 0 })
  t.same((await store.core.engine.health.check({ layers: [], data: true })).findings, [])
})

import t from 'tap'
import type { Transaction } from '../../../src/catalog/types.js'
import { specOf } from '../../../src/core/tree/chain.js'
import type { Tree } from '../../../src/core/tree/tree.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { blockBytes, MiB } from '../../../src/lib/units.js'
import { collect, pieces, refused, TestStore } from '../support.js'

const same = async (_tx: Transaction, resource: ResourceId) => resource

async function bytes(tree: Tree, id: ResourceId, offset = 0, length?: number): Promise<Buffer> {
  const lease = await tree.lease(id)
  try {
    return await lease.read(offset, length ?? lease.sizeBytes)
  } finally {
    await lease.close()
  }
}

async function write(tree: Tree, id: ResourceId, offset: number, data: Buffer): Promise<void> {
  const lease = await tree.lease(id)
  try {
    await lease.write(offset, data)
    await lease.flush()
  } finally {
    await lease.close()
  }
}

const filled = (length: number, byte: string) => Buffer.alloc(length, byte)

t.test('a blank resource reads as zeros and costs no records', async (t) => {
  const { core } = await TestStore.open(t)
  const id = await core.tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  t.ok((await bytes(core.tree, id)).equals(Buffer.alloc(MiB)))
  t.same(await core.engine.layers.list(), [])
})

t.test('sizes: whole blocks for writable ones, any for read-only ones, none without bound', async (t) => {
  const { core } = await TestStore.open(t)
  const make = (sizeBytes: number, mode: 'ro' | 'rw') => core.tree.createBlank({ sizeBytes, mode }, same)
  await t.resolves(make(12345, 'ro'))
  await t.resolves(make(0, 'rw'))
  for (const size of [12345, -4096, 0.5, Number.NaN, 2 ** 53]) {
    await t.rejects(make(size, 'rw'), { code: 'size_out_of_range' }, String(size))
  }
})

t.test('a clone and its source go separate ways', async (t) => {
  const { core } = await TestStore.open(t)
  const { tree } = core
  const source = await tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  await write(tree, source, 0, filled(8192, 'a'))
  const clone = await tree.clone(source, { sizeBytes: 2 * MiB }, same)
  await write(tree, clone, 4096, filled(100, 'c'))
  await write(tree, source, 0, filled(100, 's'))
  t.equal((await bytes(tree, source, 0, 101)).toString(), `${'s'.repeat(100)}a`)
  t.equal((await bytes(tree, source, 4096, 1)).toString(), 'a')
  t.equal((await bytes(tree, clone, 0, 1)).toString(), 'a')
  t.equal((await bytes(tree, clone, 4096, 101)).toString(), `${'c'.repeat(100)}a`)
  t.ok((await bytes(tree, clone, MiB, MiB)).equals(Buffer.alloc(MiB)), 'what is beyond the source reads as zeros')
})

t.test('a clone cannot be smaller than its source, and nothing is made', async (t) => {
  const { core } = await TestStore.open(t)
  const source = await core.tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  const before = await core.catalog.db.selectFrom('layers').selectAll().execute()
  await t.rejects(core.tree.clone(source, { sizeBytes: blockBytes }, same), { code: 'size_too_small' })
  t.same(await core.catalog.db.selectFrom('layers').selectAll().execute(), before)
})

t.test('a snapshot has what was written before, also what was not flushed, of an open resource', async (t) => {
  const { core } = await TestStore.open(t)
  const { tree } = core
  const id = await tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  const lease = await tree.lease(id)
  await lease.write(0, filled(5000, 'a'))
  const snapshot = await tree.snapshot(id, same)
  await lease.write(0, filled(5000, 'b'))
  t.equal((await lease.read(4999, 1)).toString(), 'b')
  t.equal((await bytes(tree, snapshot, 4999, 1)).toString(), 'a')
  t.equal((await bytes(tree, snapshot, 5000, 1))[0], 0)
  await lease.close()
})

t.test('when the transaction of a snapshot fails, the resource goes on as it was', async (t) => {
  const { core } = await TestStore.open(t)
  const { tree } = core
  const id = await tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  const lease = await tree.lease(id)
  await lease.write(0, filled(4096, 'a'))
  const before = await specOf(core.catalog.db, id)
  const failing = tree.snapshot(id, async () => {
    throw new Error('no')
  })
  await t.rejects(failing, { message: 'no' })
  t.same(await specOf(core.catalog.db, id), before)
  await lease.write(0, filled(4096, 'b'))
  t.equal((await lease.read(0, 1)).toString(), 'b')
  await lease.close()
})

t.test('writers wait while a snapshot is taken, and none is lost', async (t) => {
  const { core } = await TestStore.open(t)
  const { tree } = core
  const id = await tree.createBlank({ sizeBytes: MiB, mode: 'rw' }, same)
  const lease = await tree.lease(id)
  const snapshots: ResourceId[] = []
  const done: number[] = []
  const writing = (async () => {
    for (let i = 0; i < 200; i++) {
      // Not all of it within one snapshot, however slow that is.
      while (snapshots.length * 50 < i) await new Promise((resolve) => setImmediate(resolve))
      await lease.write((i % 200) * 4096, filled(4096, String.fromCharCode(33 + (i % 90))))
      done.push(i)
    }
  })()
  const counts: number[] = []
  while (done.length < 200) {
    counts.push(done.length)
    snapshots.push(await tree.snapshot(id, same))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await writing
  for (const [n, snapshot] of snapshots.entries()) {
    const data = await bytes(tree, snapshot, 0, 200 * 4096)
    for (let i = 0; i < (counts[n] as number); i++) {
      if (data[i * 4096] !== 33 + (i % 90)) t.fail(`snapshot ${n} misses the write ${i} of ${counts[n]} before it`)
    }
  }
  t.ok(snapshots.length > 1, `${snapshots.length} snapshots`)
  await lease.close()
})

t.test('what was cut off by shrinking never comes back', async (t) => {
  const store = await TestStore.open(t)
  const { core } = store
  const { tree } = core
  const none = async () => undefined
  const id = await tree.createBlank({ sizeBytes: 8 * MiB, mode: 'rw' }, same)
  const lease = await tree.lease(id)
  await lease.write(0, filled(8 * MiB, 'a'))
  await tree.resize(id, { sizeBytes: 3 * MiB }, none)
  await tree.resize(id, { sizeBytes: 8 * MiB }, none)
  const expected = Buffer.concat([filled(3 * MiB, 'a'), Buffer.alloc(5 * MiB)])
  t.ok((await lease.read(0, 8 * MiB)).equals(expected), 'open')
  await lease.close()
  await core.settled()
  t.equal((await specOf(core.catalog.db, id)).layers.length, 1, 'the cut-off layer is merged')
  t.ok((await bytes(tree, id)).equals(expected), 'merged')
  await store.restart()
  t.ok((await bytes(store.core.tree, id)).equals(expected), 'after a restart')
})

t.test('a stream becomes a read-only resource of its very size', async (t) => {
  const { core } = await TestStore.open(t)
  const id = await core.tree.createFromIngest(pieces('hello ', '', 'world'), {}, async (_tx, resource, result) => {
    t.match(result, { sizeBytes: 11, md5: '5eb63bbbe01eeed093cb22bb8f5acdc3' })
    return resource
  })
  const lease = await core.tree.lease(id)
  t.equal((await lease.read(0, 11)).toString(), 'hello world')
  await t.rejects(lease.write(0, Buffer.from('x')), refused(403))
  await t.rejects(lease.read(6, 6), { code: 'engine_out_of_range' })
  await lease.close()
  await t.rejects(lease.read(0, 1), { code: 'engine_not_found' })
})

t.test('a reader of a read-only resource waits for nobody, and what he began ends well', async (t) => {
  const store = await TestStore.open(t)
  const { tree, engine } = store.core
  const id = await tree.createFromIngest(pieces('hello world'), {}, same)
  const [one, two] = [await tree.readHandle(id), await tree.readHandle(id)]
  t.equal(engine.counters().openResources, 2)
  t.equal((await collect(one.stream({ start: 0, end: 11 }))).toString(), 'hello world')
  t.equal((await collect(two.stream({ start: 3, end: 8 }))).toString(), 'lo wo')
  await t.rejects(one.read(6, 6), { code: 'engine_out_of_range' })
  const begun = one.read(0, 5)
  one.end()
  one.end()
  t.equal((await begun).toString(), 'hello')
  await t.rejects(one.read(0, 1), { code: 'engine_not_found' })
  t.ok(engine.resources.isOpen(id), 'the other one still reads')
  two.end()
  t.notOk(engine.resources.isOpen(id))
  await t.rejects(tree.readHandle('f2b6f1de-3f0e-4ad5-8a23-6a1fb8ae3e69' as ResourceId), { code: 'resource_not_found' })
  const volume = await tree.createBlank({ sizeBytes: 4096, mode: 'rw' }, same)
  await t.rejects(tree.readHandle(volume), { code: 'engine_invalid' })
  await tree.readHandle(id) // shutdown ends it
})

t.test('a clone of a read-only resource of an odd size has zeros behind its bytes', async (t) => {
  const { core } = await TestStore.open(t)
  const odd = filled(5001, 'x')
  const image = await core.tree.createFromIngest(pieces(odd), {}, same)
  const clone = await core.tree.clone(image, { sizeBytes: 8192 }, same)
  t.ok((await bytes(core.tree, clone)).equals(Buffer.concat([odd, Buffer.alloc(8192 - 5001)])))
})

t.test('a copy has the same head; a writable resource cannot be copied', async (t) => {
  const { core } = await TestStore.open(t)
  const image = await core.tree.createFromIngest(pieces('abc'), {}, same)
  const copy = await core.catalog.transaction((tx) => core.tree.copy(tx, image))
  t.same((await specOf(core.catalog.db, copy)).layers, (await specOf(core.catalog.db, image)).layers)
  const volume = await core.tree.createBlank({ sizeBytes: 4096, mode: 'rw' }, same)
  await t.rejects(
    core.catalog.transaction((tx) => core.tree.copy(tx, volume)),
    { message: /not read-only/ },
  )
})

t.test('nothing stays of an upload whose source fails, whose signal comes, or whose transaction fails', async (t) => {
  const store = await TestStore.open(t)
  const { core } = store
  async function* breaking() {
    yield filled(5 * MiB, 'a')
    throw new Error('the source broke')
  }
  await t.rejects(core.tree.createFromIngest(breaking(), {}, same), { message: 'the source broke' })

  const controller = new AbortController()
  async function* stalling() {
    yield filled(5 * MiB, 'b')
    controller.abort()
    await new Promise(() => undefined)
  }
  const aborted = core.tree.createFromIngest(stalling(), { signal: controller.signal }, same)
  await t.rejects(aborted, { code: 'cancelled' })

  const refused = core.tree.createFromIngest(pieces(filled(5 * MiB, 'c')), {}, async () => {
    throw new Error('the row is refused')
  })
  await t.rejects(refused, { message: 'the row is refused' })
  t.same(await store.layersLeft(), { rows: 0, engine: 0 })
})

t.test('a resource that is gone cannot be opened', async (t) => {
  const { core } = await TestStore.open(t)
  await t.rejects(core.tree.lease('f2b6f1de-3f0e-4ad5-8a23-6a1fb8ae3e69' as ResourceId), { code: 'resource_not_found' })
})

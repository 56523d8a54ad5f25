import t from 'tap'
import type { Volume } from '../../../src/core/model/records.js'
import { GiB } from '../../../src/lib/units.js'
import { pieces, refused, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const admin = await store.caller('admin', 'admin')
const reader = await store.caller('reader', 'reader', 'alice')
const { images, volumes, snapshots, tree, imageSources, volumeSources } = store.core
const blank = { kind: 'blank' } as const

async function newImage(data: string | Buffer, image: object = {}): Promise<string> {
  const { id } = await images.create(alice, { diskFormat: 'raw', containerFormat: 'bare', name: 'os', ...image })
  await images.upload(alice, id, { body: pieces(data) })
  return id
}

async function write(id: string, text: string): Promise<void> {
  const lease = await tree.lease((await volumes.get(alice, id)).resourceId)
  await lease.write(0, Buffer.from(text))
  await lease.close()
}

async function begin(resource: Parameters<typeof tree.lease>[0], length: number): Promise<string> {
  const lease = await tree.lease(resource)
  const data = await lease.read(0, length)
  await lease.close()
  return data.toString()
}

t.test('a blank volume, with everything that was said about it', async (t) => {
  const volume = await volumeSources.create(alice, {
    source: blank,
    sizeGib: 1024,
    name: 'data',
    description: 'd',
    metadata: { a: '1' },
  })
  t.match(volume, { status: 'available', sizeGib: 1024, bootable: false, attachments: [], projectId: alice.project.id })
  t.same(await volumes.get(alice, volume.id), volume)
  t.equal(await tree.sizeOf(store.core.catalog.db, volume.resourceId), 1024 * GiB)
  for (const sizeGib of [0, -1, 1.5, 2 ** 40, undefined]) {
    await t.rejects(volumeSources.create(alice, { source: blank, sizeGib }), refused(400), String(sizeGib))
  }
})

t.test('from an image, in O(1): larger, not smaller, bootable, with its properties', async (t) => {
  const id = await newImage('a disk', { properties: { hw_disk_bus: 'virtio' }, minDiskGib: 2 })
  const { bytesWritten } = store.core.engine.counters()
  const volume = await volumeSources.create(alice, { source: { kind: 'image', id }, sizeGib: 3 })
  t.equal(store.core.engine.counters().bytesWritten, bytesWritten)
  t.match(volume, { sizeGib: 3, bootable: true, imageId: id })
  t.match(volume.imageMetadata, {
    hw_disk_bus: 'virtio',
    image_id: id,
    image_name: 'os',
    min_disk: '2',
    disk_format: 'raw',
  })
  t.equal((await volumeSources.create(alice, { source: { kind: 'image', id } })).sizeGib, 2, 'as large as it must be')
  await t.rejects(volumeSources.create(alice, { source: { kind: 'image', id }, sizeGib: 1 }), {
    code: 'size_too_small',
  })
  await images.delete(alice, id)
  await store.core.settled()
  t.equal(await begin(volume.resourceId, 7), 'a disk\0', 'the image can go')
})

t.test('only what is a disk as it is becomes a volume', async (t) => {
  const vmdk = await newImage('KDMV', { diskFormat: 'vmdk' })
  await t.rejects(volumeSources.create(alice, { source: { kind: 'image', id: vmdk } }), {
    code: 'image_format_not_raw',
  })
  const { id: queued } = await images.create(alice, { diskFormat: 'raw', containerFormat: 'bare' })
  await t.rejects(volumeSources.create(alice, { source: { kind: 'image', id: queued } }), { code: 'image_not_ready' })
  await t.rejects(volumeSources.create(alice, { source: { kind: 'image', id: 'none' } }), { code: 'image_not_found' })
})

t.test('from a volume and from a snapshot; all go their own ways, and any can go first', async (t) => {
  const first = await volumeSources.create(alice, { source: { kind: 'image', id: await newImage('-') }, sizeGib: 2 })
  await write(first.id, 'one')
  const snapshot = await snapshots.create(alice, { volumeId: first.id, name: 's', metadata: { k: 'v' } })
  t.match(snapshot, { status: 'available', sizeGib: 2, bootable: true, metadata: { k: 'v' } })
  await write(first.id, 'two')
  const clone = await volumeSources.create(alice, { source: { kind: 'volume', id: first.id } })
  const restored = await volumeSources.create(alice, { source: { kind: 'snapshot', id: snapshot.id }, sizeGib: 4 })
  t.match(clone, { sizeGib: 2, sourceVolumeId: first.id, bootable: true, imageMetadata: first.imageMetadata })
  t.match(restored, { sizeGib: 4, snapshotId: snapshot.id, bootable: true, imageMetadata: first.imageMetadata })
  await write(first.id, 'six')
  await t.rejects(volumes.delete(alice, first.id), { code: 'volume_has_snapshots', status: 400 })
  await volumes.delete(alice, first.id, { cascade: true })
  await t.rejects(snapshots.get(alice, snapshot.id), { code: 'snapshot_not_found' })
  await store.core.settled()
  t.equal(await begin(clone.resourceId, 3), 'two')
  t.equal(await begin(restored.resourceId, 3), 'one')
})

t.test('states: what is in use is neither deleted nor snapshotted without force', async (t) => {
  const { id } = await volumeSources.create(alice, { source: blank, sizeGib: 1 })
  await volumes.update(alice, id, { status: { from: ['available'], to: 'in-use' } })
  const conflict = { code: 'volume_state_conflict', status: 400 }
  await t.rejects(volumes.update(alice, id, { status: { from: ['available'], to: 'reserved' } }), conflict)
  await t.rejects(volumes.delete(alice, id), conflict)
  await t.rejects(snapshots.create(alice, { volumeId: id }), conflict)
  await t.rejects(imageSources.createFromVolume(alice, id, {}), conflict)
  await t.rejects(volumes.extend(alice, id, 2), conflict)
  t.equal((await snapshots.create(alice, { volumeId: id, force: true })).status, 'available')
  t.equal((await volumes.extend(alice, id, 2, { attached: true })).sizeGib, 2)
  t.equal((await imageSources.createFromVolume(alice, id, {}, { force: true })).status, 'active')
  await t.rejects(volumes.delete(alice, id, { force: true, cascade: true }), { code: 'not_allowed' })
  await volumes.delete(admin, id, { force: true, cascade: true })
})

t.test('extend: larger only, and the new end reads as zeros', async (t) => {
  const { id, resourceId } = await volumeSources.create(alice, { source: blank, sizeGib: 1 })
  await write(id, 'x')
  for (const size of [1, 0, 0.5]) await t.rejects(volumes.extend(alice, id, size), refused(400), String(size))
  t.equal((await volumes.extend(alice, id, 3)).sizeGib, 3)
  const lease = await tree.lease(resourceId)
  t.equal(lease.sizeBytes, 3 * GiB)
  t.ok((await lease.read(3 * GiB - 4096, 4096)).equals(Buffer.alloc(4096)))
  await lease.close()
})

t.test('a change changes what it names', async (t) => {
  const { id } = await volumeSources.create(alice, {
    source: blank,
    sizeGib: 1,
    name: 'a',
    metadata: { a: '1', b: '2' },
  })
  const changed = await volumes.update(alice, id, { name: null, metadata: { c: '3' }, bootable: true, readOnly: true })
  t.match(changed, { name: null, bootable: true, readOnly: true, status: 'available' })
  t.same(changed.metadata, { c: '3' })
  t.same((await volumes.get(alice, id)).metadata, { c: '3' })
  const snapshot = await snapshots.create(alice, { volumeId: id })
  const renamed = await snapshots.update(alice, snapshot.id, { name: 'n', metadata: { d: '4' } })
  t.match(renamed, { name: 'n', description: null, metadata: { d: '4' } })
})

t.test("another project's volumes and snapshots do not exist", async (t) => {
  const { id } = await volumeSources.create(alice, { source: blank, sizeGib: 1 })
  const snapshot = await snapshots.create(alice, { volumeId: id })
  const noVolume = { code: 'volume_not_found', status: 404 }
  await t.rejects(volumes.get(bob, id), noVolume)
  await t.rejects(volumes.update(bob, id, {}), noVolume)
  await t.rejects(volumes.extend(bob, id, 2), noVolume)
  await t.rejects(volumes.delete(bob, id), noVolume)
  await t.rejects(snapshots.create(bob, { volumeId: id }), noVolume)
  await t.rejects(volumeSources.create(bob, { source: { kind: 'volume', id } }), noVolume)
  const noSnapshot = { code: 'snapshot_not_found', status: 404 }
  await t.rejects(snapshots.get(bob, snapshot.id), noSnapshot)
  await t.rejects(snapshots.update(bob, snapshot.id, {}), noSnapshot)
  await t.rejects(snapshots.delete(bob, snapshot.id), noSnapshot)
  await t.rejects(volumeSources.create(bob, { source: { kind: 'snapshot', id: snapshot.id } }), noSnapshot)
  t.same(await volumes.list(bob, { allProjects: true, projectId: alice.project.id }), [])
  t.same(await snapshots.list(bob, { allProjects: true }), [])
  await t.resolves(volumes.get(admin, id))
  await t.resolves(volumes.get(reader, id))
  const notAllowed = { code: 'not_allowed', status: 403 }
  await t.rejects(volumeSources.create(reader, { source: blank, sizeGib: 1 }), notAllowed)
  await t.rejects(volumes.update(reader, id, {}), notAllowed)
  await t.rejects(volumes.delete(reader, id), notAllowed)
  await t.rejects(snapshots.create(reader, { volumeId: id }), notAllowed)
  await t.rejects(snapshots.delete(reader, snapshot.id), notAllowed)
})

t.test('lists: filters, projects, counts', async (t) => {
  const carol = await store.caller('carol')
  const made: Volume[] = []
  for (const name of ['a', 'b', 'b']) {
    // Those of one millisecond are in no order of time.
    while (made.at(-1)?.createdAt === Date.now()) await new Promise((resolve) => setImmediate(resolve))
    made.push(
      await volumeSources.create(carol, { source: blank, sizeGib: made.length + 1, name, metadata: { of: name } }),
    )
  }
  await volumes.update(carol, made[0]?.id as string, { bootable: true, status: { to: 'error' } })
  const ids = async (query: object) =>
    (await volumes.list(carol, query)).map(({ id }) => made.findIndex((v) => v.id === id))
  t.same(await ids({}), [2, 1, 0], 'newest first')
  t.same(await ids({ sort: [{ key: 'size', direction: 'asc' }] }), [0, 1, 2])
  t.same(await ids({ name: 'b' }), [2, 1])
  t.same(await ids({ metadata: { of: 'a' } }), [0])
  t.same(await ids({ bootable: true }), [0])
  t.same(await ids({ status: 'error' }), [0])
  t.same(await ids({ limit: 1, offset: 1 }), [1])
  t.same(await ids({ limit: 1, marker: made[1]?.id }), [0])
  t.same(await ids({ ids: [made[2]?.id] }), [2])
  t.equal(await volumes.count(carol, { name: 'b', limit: 1 }), 2)
  await t.rejects(volumes.list(carol, { marker: 'none' as never }), { code: 'volume_not_found' })
  t.equal(await volumes.count(admin, { allProjects: true, projectId: carol.project.id }), 3)
  t.ok((await volumes.count(admin, { allProjects: true })) > 3)
  t.equal(await volumes.count(admin, {}), 0, 'an admin, too, sees its own project first')
})

t.test('equal sort keys do not lose or repeat a row between pages', async (t) => {
  const dave = await store.caller('dave')
  for (let i = 0; i < 9; i++) await volumeSources.create(dave, { source: blank, sizeGib: 1, name: i % 2 ? 'n' : null })
  for (const direction of ['asc', 'desc'] as const) {
    const seen: string[] = []
    for (;;) {
      const sort = [
        { key: 'name' as const, direction },
        { key: 'size' as const, direction: 'asc' as const },
      ]
      const page = await volumes.list(dave, { sort, limit: 2, marker: seen.at(-1) as never })
      if (page.length === 0) break
      seen.push(...page.map(({ id }) => id))
    }
    t.equal(seen.length, 9)
    t.equal(new Set(seen).size, 9, direction)
  }
})

t.test('the usage of a project follows every change of its volumes and snapshots', async (t) => {
  const erin = await store.caller('erin')
  const usage = () => volumes.usage(erin, erin.project.id)
  t.same(await usage(), { volumes: 0, volumeGib: 0, snapshots: 0 })
  const first = await volumeSources.create(erin, { source: blank, sizeGib: 3 })
  await volumeSources.create(erin, { source: { kind: 'volume', id: first.id }, sizeGib: 5 })
  t.same(await usage(), { volumes: 2, volumeGib: 8, snapshots: 0 })
  await volumes.extend(erin, first.id, 4)
  const snapshot = await snapshots.create(erin, { volumeId: first.id })
  await snapshots.create(erin, { volumeId: first.id })
  await snapshots.create(erin, { volumeId: first.id })
  t.same(await usage(), { volumes: 2, volumeGib: 9, snapshots: 3 })
  await snapshots.delete(erin, snapshot.id)
  t.same(await usage(), { volumes: 2, volumeGib: 9, snapshots: 2 })
  // What fails is not counted.
  await t.rejects(volumes.delete(erin, first.id), { code: 'volume_has_snapshots' })
  await t.rejects(volumes.extend(erin, first.id, 2), refused(400))
  t.same(await usage(), { volumes: 2, volumeGib: 9, snapshots: 2 })
  // A snapshot is of the project of its volume, whoever takes it.
  await snapshots.create(admin, { volumeId: first.id })
  t.same(await usage(), { volumes: 2, volumeGib: 9, snapshots: 3 })
  await volumes.delete(erin, first.id, { cascade: true })
  t.same(await usage(), { volumes: 1, volumeGib: 5, snapshots: 0 })
  t.same(await volumes.usage(admin, erin.project.id), await usage())
  t.same(await volumes.usage(erin, alice.project.id), await usage(), "another project's usage is not told")
})

t.test('in the end nothing is left of what was deleted', async (t) => {
  for (const volume of await volumes.list(admin, { allProjects: true })) {
    await volumes.delete(admin, volume.id, { cascade: true, force: true })
  }
  for (const image of await images.list(admin, {})) await images.delete(admin, image.id)
  t.same(await store.layersLeft(), { rows: 0, engine: 0 })
})

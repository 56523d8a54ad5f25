import t from 'tap'
import { specOf } from '../../../src/core/tree/chain.js'
import type { ExportContext } from '../../../src/engine/nbd.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { blockBytes, GiB, MiB } from '../../../src/lib/units.js'
import { pieces, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const { attachments, catalog, exports, images, snapshots, tree, volumes, engine, volumeSources } = store.core
exports.tenantAddress = { host: '127.0.0.1', port: 10809 }

const newVolume = () => volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
const named = (...names: string[]) => ({ list: false, names })
const listed = (...names: string[]) => ({ list: true, names })
const names = (contexts: ExportContext[]) => contexts.map(({ name }) => name)
const changedSince = (id: string) => [`atoll:changed-since:${id}`, `qemu:dirty-bitmap:${id}`]

/** As the NBD server does when the connection ends. */
async function giveBack(contexts: ExportContext[]): Promise<void> {
  for (const { since } of contexts) if (since !== undefined) await engine.resources.closeFor(since.resourceId)
}

async function write(resource: ResourceId, offset: number, data: Buffer): Promise<void> {
  const lease = await tree.lease(resource)
  await lease.write(offset, data)
  await lease.close()
}

async function exportName(volumeId: string): Promise<string> {
  const connector = { host: 'machine' }
  const { connectionInfo } = await attachments.create(alice, { volumeId, connector })
  return connectionInfo?.data.export as string
}

t.test('every export has its depths, and the changes since each ancestor under both names', async (t) => {
  const volume = await newVolume()
  const older = await snapshots.create(alice, { volumeId: volume.id })
  const newer = await snapshots.create(alice, { volumeId: volume.id })
  const depths = ['atoll:depth', 'qemu:allocation-depth']
  const all = names(await exports.contexts('operator', volume.id, listed()))
  t.same(new Set(all), new Set([...depths, ...[older, newer].flatMap(({ id }) => changedSince(id))]))
  const bitmaps = names(await exports.contexts('operator', volume.id, listed('qemu:dirty-bitmap:')))
  t.ok(bitmaps.includes(`qemu:dirty-bitmap:${older.id}`))
  t.notOk(bitmaps.includes(`atoll:changed-since:${older.id}`), 'what is not asked for is not looked up')
  t.notOk(engine.resources.isOpen(older.resourceId), 'a list opens nothing')

  const chosen = await exports.contexts('operator', volume.id, named('atoll:depth', ...changedSince(older.id)))
  t.same(names(chosen), ['atoll:depth', ...changedSince(older.id)])
  t.match(chosen[1], { kind: 'changed', since: { resourceId: older.resourceId, sizeBytes: GiB } })
  t.ok(engine.resources.isOpen(older.resourceId))
  await giveBack(chosen)
  t.notOk(engine.resources.isOpen(older.resourceId))
  t.same(await exports.contexts('operator', 'no such export', listed()), [])
})

t.test('what is no ancestor, or is written otherwise, selects nothing', async (t) => {
  const volume = await newVolume()
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  const stranger = await snapshots.create(alice, { volumeId: (await newVolume()).id })
  const nothing = [
    ...changedSince(stranger.id),
    ...changedSince(snapshot.resourceId),
    ...changedSince(snapshot.id.toUpperCase()),
    ...changedSince(''),
    `qemu:dirty-bitmap:${snapshot.id}:x`,
    'x:y',
  ]
  t.same(await exports.contexts('operator', volume.id, named(...nothing)), [])
  t.same(await exports.contexts('operator', stranger.id, named(...changedSince(snapshot.id))), [])
  const later = await snapshots.create(alice, { volumeId: volume.id })
  t.same(await exports.contexts('operator', snapshot.id, named(...changedSince(later.id))), [], 'a later one')
  const chosen = await exports.contexts('operator', later.id, named(...changedSince(snapshot.id)))
  t.equal(chosen.length, 2, 'from one snapshot to the next')
  await giveBack(chosen)
})

t.test('an image is an ancestor of volumes made from it, and a snapshot of volumes made from that', async (t) => {
  const { id: image } = await images.create(alice, { diskFormat: 'raw', containerFormat: 'bare' })
  await images.upload(alice, image, { body: pieces(Buffer.alloc(MiB, 'i')) })
  const first = await volumeSources.create(alice, { source: { kind: 'image', id: image }, sizeGib: 1 })
  const snapshot = await snapshots.create(alice, { volumeId: first.id })
  const second = await volumeSources.create(alice, { source: { kind: 'snapshot', id: snapshot.id }, sizeGib: 2 })
  const chosen = await exports.contexts(
    'operator',
    second.id,
    named(`qemu:dirty-bitmap:${image}`, `qemu:dirty-bitmap:${snapshot.id}`),
  )
  t.same(
    chosen.map(({ since }) => since?.sizeBytes),
    [MiB, GiB],
  )
  await giveBack(chosen)
})

t.test("the tenants' door knows the snapshots of the volume's project, and no image", async (t) => {
  const { id: image } = await images.create(alice, { diskFormat: 'raw', containerFormat: 'bare' })
  await images.upload(alice, image, { body: pieces(Buffer.alloc(MiB, 'i')) })
  const volume = await volumeSources.create(alice, { source: { kind: 'image', id: image }, sizeGib: 1 })
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  const name = await exportName(volume.id)
  const all = names(await exports.contexts('tenant', name, listed('atoll:')))
  t.ok(all.includes(`atoll:changed-since:${snapshot.id}`))
  t.notOk(all.some((one) => one.includes(image)))
  const chosen = await exports.contexts('tenant', name, named(...changedSince(snapshot.id), ...changedSince(image)))
  t.same(names(chosen), changedSince(snapshot.id))
  await giveBack(chosen)
  // As if a volume had come to another project by a transfer: its new owner does not see the old one's snapshots.
  await catalog.transaction(({ db }) =>
    db.updateTable('snapshots').set({ project_id: bob.project.id }).where('id', '=', snapshot.id).execute(),
  )
  t.same(await exports.contexts('tenant', name, named(...changedSince(snapshot.id))), [])
  t.same(names(await exports.contexts('tenant', name, listed('qemu:dirty-bitmap:'))), [
    'atoll:depth',
    'qemu:allocation-depth',
  ])
})

t.test('a snapshot that is deleted while a connection compares with it keeps its layer until that ends', async (t) => {
  const volume = await newVolume()
  await write(volume.resourceId, 0, Buffer.alloc(MiB, 'a'))
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  await write(volume.resourceId, MiB, Buffer.alloc(blockBytes, 'b'))
  const chosen = await exports.contexts('operator', volume.id, named(`atoll:changed-since:${snapshot.id}`))
  const layer = chosen[0]?.since?.layer
  const layers = async () =>
    (await catalog.db.selectFrom('layers').select('id').execute()).map(({ id }) => id as number)
  await snapshots.delete(alice, snapshot.id)
  t.same(await exports.contexts('operator', volume.id, named(`atoll:changed-since:${snapshot.id}`)), [])
  // What is deleted after it goes: the reaper has come by.
  const other = await newVolume()
  const [otherLayer] = (await specOf(catalog.db, other.resourceId)).layers
  await volumes.delete(alice, other.id)
  while ((await layers()).includes(otherLayer?.id as number)) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok((await layers()).includes(layer as number))
  await giveBack(chosen)
  await store.core.settled()
  t.notOk((await layers()).includes(layer as number))
})

t.test('diff: what was written since, between any two of one family', async (t) => {
  const volume = await newVolume()
  await write(volume.resourceId, 0, Buffer.alloc(MiB, 'a'))
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  await write(volume.resourceId, MiB, Buffer.alloc(blockBytes, 'b'))
  const [live, before] = [await tree.lease(volume.resourceId), await tree.lease(snapshot.resourceId)]
  const expected = [
    { lengthBytes: MiB, changed: false },
    { lengthBytes: blockBytes, changed: true },
    { lengthBytes: GiB - MiB - blockBytes, changed: false },
  ]
  t.same(await live.diff(before, 0, GiB, 100), expected)
  t.same(await before.diff(live, 0, GiB, 100), expected)
  t.same(await live.diff(before, 0, GiB, 1), expected.slice(0, 1))
  const stranger = await tree.lease((await newVolume()).resourceId)
  await t.rejects(live.diff(stranger, 0, GiB, 1), { message: /no layer in common/ })
  await t.rejects(live.diff(before, MiB, GiB, 1), { message: /past its/ })
  t.equal((await before.read(MiB, 1))[0], 0)
  for (const lease of [live, before, stranger]) await lease.close()
})

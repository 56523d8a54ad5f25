import t from 'tap'
import { pieces, refused, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const admin = await store.caller('admin', 'admin')
const { attachments, connections, exports, images, snapshots, volumes, engine, volumeSources } = store.core
exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
const connector = { host: 'machine', ip: '10.0.0.1' }

const newVolume = () => volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
const status = async (id: string) => (await volumes.get(alice, id)).status

/** As the NBD server asks. The lease it would give back goes with the store. */
async function opens(door: 'operator' | 'tenant', name: string): Promise<object | null> {
  const target = await exports.open(door, name)
  return target && { readOnly: target.readOnly, open: engine.resources.isOpen(target.resourceId) }
}

t.test('reserved, attaching, in use, available', async (t) => {
  const volume = await newVolume()
  const attachment = await attachments.create(alice, { volumeId: volume.id, instanceId: 'i' })
  t.match(attachment, { status: 'reserved', connectionInfo: null, mode: 'rw' })
  t.equal(await status(volume.id), 'reserved')
  await t.rejects(attachments.complete(alice, attachment.id), refused(400))
  const updated = await attachments.update(alice, attachment.id, { connector, mountpoint: '/dev/vdb' })
  t.match(updated, { status: 'attaching', hostName: 'machine', connector, mountpoint: '/dev/vdb' })
  t.equal(await status(volume.id), 'attaching')
  const complete = await attachments.complete(alice, attachment.id)
  t.match(complete, { status: 'attached', attachedAt: Number })
  t.equal(await status(volume.id), 'in-use')
  t.match((await volumes.get(alice, volume.id)).attachments, [{ id: attachment.id }])
  await attachments.delete(alice, attachment.id)
  t.equal(await status(volume.id), 'available')
  await t.rejects(attachments.get(alice, attachment.id), { code: 'attachment_not_found' })
})

t.test('the connection info says where to connect, by a name nobody can guess', async (t) => {
  const volume = await newVolume()
  const { id, connectionInfo } = await attachments.create(alice, { volumeId: volume.id, connector, mode: 'ro' })
  const data = connectionInfo?.data
  t.match(connectionInfo, { driver_volume_type: 'nbd', data: { host: '127.0.0.1', port: 10809, access_mode: 'ro' } })
  t.match(data?.export, /^[A-Za-z0-9_-]{43}$/)
  t.equal(data?.uri, `nbd://127.0.0.1:10809/${data?.export}`)
  t.same((await attachments.get(alice, id)).connectionInfo, connectionInfo)
  exports.tenantAddress = { host: '::1', port: 1 }
  t.match((await attachments.get(alice, id)).connectionInfo, { data: { uri: /^nbd:\/\/\[::1\]:1\// } })
  const tls = { mode: 'required', x509: true, clientCertificate: 'optional', psk: false } as const
  exports.tenantAddress = { host: '::1', port: 1, tls }
  t.match((await attachments.get(alice, id)).connectionInfo?.data, {
    uri: /^nbds:\/\/\[::1\]:1\//,
    tls: { mode: 'required', x509: true, client_certificate: 'optional', psk: false },
  })
  exports.tenantAddress = { host: '::1', port: 1, tls: { ...tls, mode: 'opportunistic' } }
  t.match((await attachments.get(alice, id)).connectionInfo?.data, { uri: /^nbd:/, tls: { mode: 'opportunistic' } })
  exports.tenantAddress = undefined
  const other = await newVolume()
  await t.rejects(attachments.create(alice, { volumeId: other.id, connector }), { code: 'no_tenant_door', status: 503 })
  exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
})

t.test('an attached volume is not attached again, but for the same instance', async (t) => {
  const volume = await newVolume()
  const first = await attachments.create(alice, { volumeId: volume.id, instanceId: 'i', connector })
  await attachments.complete(alice, first.id)
  const conflict = { code: 'volume_state_conflict' }
  await t.rejects(attachments.create(alice, { volumeId: volume.id, instanceId: 'j', connector }), conflict)
  await t.rejects(attachments.create(alice, { volumeId: volume.id, connector }), conflict)
  const second = await attachments.create(alice, { volumeId: volume.id, instanceId: 'i', connector })
  t.equal(await status(volume.id), 'in-use')
  await attachments.delete(alice, first.id)
  t.equal(await status(volume.id), 'attaching')
  await attachments.delete(alice, second.id)
  t.equal(await status(volume.id), 'available')
  await volumes.update(alice, volume.id, { status: { to: 'reserved' } })
  await t.rejects(attachments.create(alice, { volumeId: volume.id, connector }), conflict)
  t.match(await connections.initialize(alice, volume.id, connector), { status: 'attaching', hostName: 'machine' })
})

t.test('a read-only volume is attached to be read', async (t) => {
  const volume = await newVolume()
  await volumes.update(alice, volume.id, { readOnly: true })
  await t.rejects(attachments.create(alice, { volumeId: volume.id, connector, mode: 'rw' }), refused(400))
  t.equal((await attachments.create(alice, { volumeId: volume.id, connector })).mode, 'ro')
})

t.test("the tenants' door opens attachments and nothing else; it refuses to list", async (t) => {
  const volume = await newVolume()
  const { id, connectionInfo } = await attachments.create(alice, { volumeId: volume.id, connector })
  const name = connectionInfo?.data.export as string
  t.match(await opens('tenant', name), { readOnly: false, open: true })
  for (const other of [volume.id, id, '', 'x'.repeat(100_000), `${name}x`, name.toLowerCase()]) {
    t.equal(await exports.open('tenant', other), null)
  }
  await t.rejects(exports.list('tenant'), /exports are not listed over TCP/)
  t.equal(await exports.open('operator', name), null)
  await attachments.delete(alice, id)
  t.equal(await exports.open('tenant', name), null)
})

t.test("the operator's door opens volumes, snapshots and images by id, and lists them", async (t) => {
  const volume = await newVolume()
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  const { id: image } = await images.create(alice, { diskFormat: 'raw', containerFormat: 'bare' })
  t.equal(await exports.open('operator', image), null, 'without data there is nothing to export')
  t.notOk((await exports.list('operator')).includes(image))
  await images.upload(alice, image, { body: pieces('x') })
  t.match(await opens('operator', volume.id), { readOnly: false, open: true })
  t.match(await opens('operator', snapshot.id), { readOnly: true, open: true })
  t.match(await opens('operator', image), { readOnly: true, open: true })
  const names = await exports.list('operator')
  for (const id of [volume.id, snapshot.id, image]) t.ok(names.includes(id))
  t.equal(await exports.open('operator', volume.resourceId), null)
  await images.delete(alice, image)
  await snapshots.delete(alice, snapshot.id)
  await volumes.delete(alice, volume.id)
  for (const id of [volume.id, snapshot.id, image]) t.equal(await exports.open('operator', id), null)
})

t.test('deleting a volume by force ends attachments that no machine has completed', async (t) => {
  const volume = await newVolume()
  const { id, connectionInfo } = await attachments.create(alice, { volumeId: volume.id, connector })
  await t.rejects(volumes.delete(alice, volume.id), { code: 'volume_state_conflict' })
  await t.rejects(volumes.delete(alice, volume.id, { force: true }), { code: 'not_allowed', status: 403 })
  await volumes.delete(admin, volume.id, { force: true })
  await t.rejects(attachments.get(alice, id), { code: 'attachment_not_found' })
  t.equal(await exports.open('tenant', connectionInfo?.data.export as string), null)
})

t.test('an attached volume is not deleted, by force or in a state that was reset', async (t) => {
  const volume = await newVolume()
  const { id } = await attachments.create(alice, { volumeId: volume.id, connector })
  await attachments.complete(alice, id)
  const attached = { code: 'volume_attached', status: 400 }
  await t.rejects(volumes.delete(admin, volume.id, { force: true, cascade: true }), attached)
  await volumes.update(admin, volume.id, { status: { to: 'error' } })
  await t.rejects(volumes.delete(alice, volume.id), attached)
  t.equal((await attachments.get(alice, id)).status, 'attached')
  await attachments.delete(alice, id)
  await volumes.delete(alice, volume.id)
})

t.test('a volume has at most 128 attachments, however many are made at once', async (t) => {
  const volume = await newVolume()
  const attach = () => attachments.create(alice, { volumeId: volume.id, instanceId: 'i', connector })
  const all = await Promise.all(Array.from({ length: 140 }, () => attach().catch((error: unknown) => error)))
  const refusals = all.filter((one) => one instanceof Error)
  t.equal(refusals.length, 12)
  for (const refusal of refusals) t.match(refusal, { code: 'volume_attachment_limit', status: 413 })
  t.equal((await attachments.list(alice, { volumeId: volume.id })).length, 128)
  t.equal((await volumes.get(alice, volume.id)).attachments.length, 128)
  await volumes.delete(admin, volume.id, { force: true })
})

t.test("another project's attachments do not exist; lists filter", async (t) => {
  const volume = await newVolume()
  const { id } = await attachments.create(alice, { volumeId: volume.id, instanceId: 'only', connector })
  const none = { code: 'attachment_not_found', status: 404 }
  await t.rejects(attachments.get(bob, id), none)
  await t.rejects(attachments.update(bob, id, { connector }), none)
  await t.rejects(attachments.complete(bob, id), none)
  await t.rejects(attachments.delete(bob, id), none)
  await t.rejects(attachments.create(bob, { volumeId: volume.id, connector }), { code: 'volume_not_found' })
  t.same(await attachments.list(bob, {}), [])
  t.same(
    (await attachments.list(alice, { instanceId: 'only' })).map((found) => found.id),
    [id],
  )
  t.same(
    (await attachments.list(admin, { allProjects: true, volumeId: volume.id })).map((found) => found.id),
    [id],
  )
  t.equal(await attachments.count(alice, { volumeId: volume.id, status: 'attached' }), 0)
  await t.rejects(attachments.update(alice, id, { connector: { big: 'x'.repeat(8_192) } }), refused(400))
  await attachments.update(alice, id, { connector: { big: 'x'.repeat(8_000) } })
})

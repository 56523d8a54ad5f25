import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { attach, call, createSnapshot, createVolume } from './support.js'

const server = await startServer(t, { nbd: true })
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))

t.test('a snapshot is there at once', async (t) => {
  const volume = await createVolume(alice, { size: 2 })
  const answer = await call(alice, 'POST', '/snapshots', {
    json: { snapshot: { volume_id: volume.id, name: 's', description: null, force: false, metadata: { a: 'b' } } },
  })
  t.equal(answer.status, 202)
  t.match(answer.json.snapshot, { volume_id: volume.id, name: 's', size: 2, status: 'available', metadata: { a: 'b' } })
  const shown = (await call(alice, 'GET', `/snapshots/${answer.json.snapshot.id}`)).json.snapshot
  t.match(shown, {
    'os-extended-snapshot-attributes:progress': '100%',
    'os-extended-snapshot-attributes:project_id': alice.projectId,
  })
})

t.test('a volume in use needs force before 3.66, and none since', async (t) => {
  const { id } = await createVolume(alice)
  await attach(alice, id)
  const snapshot = (minor: number, extra: Record<string, unknown> = {}) =>
    call(alice, 'POST', '/snapshots', { minor, json: { snapshot: { volume_id: id, ...extra } } })
  t.equal((await snapshot(65)).status, 400)
  t.equal((await snapshot(65, { force: true })).status, 202)
  t.equal((await snapshot(65, { force: 'True' })).status, 202)
  t.equal((await snapshot(66)).status, 202)
  t.equal((await snapshot(66, { force: true })).status, 202)
  t.equal((await snapshot(66, { force: false })).status, 400)
})

t.test('a snapshot is renamed, listed and deleted', async (t) => {
  const { id: volumeId } = await createVolume(alice)
  const { id } = await createSnapshot(alice, volumeId, { name: 'old' })
  await createSnapshot(alice, volumeId, { name: 'other' })
  t.equal(
    (await call(alice, 'PUT', `/snapshots/${id}`, { json: { snapshot: { name: 'new' } } })).json.snapshot.name,
    'new',
  )
  t.equal((await call(alice, 'PUT', `/snapshots/${id}`, { json: { snapshot: {} } })).status, 400)
  const names = async (query: string) =>
    (await call(alice, 'GET', `/snapshots?${query}`)).json.snapshots.map(({ name }: { name: string }) => name)
  t.same(await names(`volume_id=${volumeId}&sort=name:asc`), ['new', 'other'])
  t.same(await names(`volume_id=${volumeId}&name=other`), ['other'])
  t.equal((await call(alice, 'DELETE', `/snapshots/${id}`)).status, 202)
  t.equal((await call(alice, 'GET', `/snapshots/${id}`)).status, 404)
  t.same(await names(`volume_id=${volumeId}`), ['other'])
})

t.test('two snapshots of one name both survive', async (t) => {
  const { id: volumeId } = await createVolume(alice)
  const first = await createSnapshot(alice, volumeId, { name: 'daily' })
  const second = await createSnapshot(alice, volumeId, { name: 'daily' })
  for (const { id } of [first, second])
    t.equal((await call(alice, 'GET', `/snapshots/${id}`)).json.snapshot.name, 'daily')
  await call(alice, 'DELETE', `/snapshots/${first.id}`)
  t.equal((await call(alice, 'GET', `/snapshots/${second.id}`)).status, 200)
})

t.test('another project’s snapshot is not found', async (t) => {
  const { id: volumeId } = await createVolume(alice)
  const { id } = await createSnapshot(alice, volumeId)
  t.equal((await call(bob, 'GET', `/snapshots/${id}`)).status, 404)
  t.equal((await call(bob, 'DELETE', `/snapshots/${id}`)).status, 404)
  t.equal((await call(bob, 'POST', '/volumes', { json: { volume: { size: 1, snapshot_id: id } } })).status, 404)
  t.same((await call(bob, 'GET', '/snapshots?all_tenants=1')).json.snapshots, [])
})

t.test('a snapshot becomes an image without a byte written, and the image outlives it', async (t) => {
  const { id: volumeId } = await createVolume(alice)
  const { id } = await createSnapshot(alice, volumeId)
  const image = {
    name: 'from a snapshot',
    disk_format: 'raw',
    container_format: 'bare',
    locations: [{ url: `cinder://snapshots/${id}`, metadata: {} }],
  }
  const before = server.counters()
  const made = await alice.ask('/image/v2/images', { method: 'POST', json: image })
  const after = server.counters()
  t.equal(made.status, 201, made.text)
  t.match(made.json, { status: 'active', size: 2 ** 30, checksum: null, os_hash_value: null })
  t.equal(after.bytesWritten, before.bytesWritten)
  await call(alice, 'DELETE', `/snapshots/${id}`)
  await call(alice, 'DELETE', `/volumes/${volumeId}`)
  const { body } = await alice.ask(`/image/v2/images/${made.json.id}/file`, { headers: { range: 'bytes=0-99' } })
  t.ok(body.equals(Buffer.alloc(100)))
})

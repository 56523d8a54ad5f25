// fields.test.ts: which members volumes, snapshots and attachments have at which microversion. Strict clients fail on
// one that is too many as on one that is missing.

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { attach, call, createSnapshot, createVolume } from './support.js'

const server = await startServer(t, { nbd: true })
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))

const volumeBase = [
  'attachments',
  'availability_zone',
  'bootable',
  'consistencygroup_id',
  'created_at',
  'description',
  'encrypted',
  'id',
  'links',
  'metadata',
  'multiattach',
  'name',
  'replication_status',
  'size',
  'snapshot_id',
  'source_volid',
  'status',
  'updated_at',
  'user_id',
  'volume_type',
]
const volumeSince: Record<number, string[]> = {
  13: ['group_id'],
  48: ['service_uuid', 'shared_targets'],
  63: ['volume_type_id'],
  65: ['consumes_quota'],
}
const adminSince: Record<number, string[]> = { 0: ['migration_status'], 21: ['provider_id'], 61: ['cluster_name'] }
const detailOnly = ['os-vol-tenant-attr:tenant_id']
const adminDetailOnly = ['os-vol-host-attr:host', 'os-vol-mig-status-attr:migstat', 'os-vol-mig-status-attr:name_id']

const fieldsAt = (minor: number, ...tables: Record<number, string[]>[]) =>
  tables.flatMap((table) => Object.entries(table).flatMap(([since, names]) => (minor >= Number(since) ? names : [])))

const minors = [0, 12, 13, 20, 21, 47, 48, 60, 61, 62, 63, 64, 65, 69, 70]

t.test('a volume has exactly the members of its microversion', async (t) => {
  for (const minor of minors) {
    const made = await createVolume(alice, {}, minor)
    const expected = [...volumeBase, ...fieldsAt(minor, volumeSince)].sort()
    t.same(Object.keys(made).sort(), expected, `POST at 3.${minor}`)
    const shown = (await call(alice, 'GET', `/volumes/${made.id}`, { minor })).json.volume
    t.same(Object.keys(shown).sort(), [...expected, ...detailOnly].sort(), `GET at 3.${minor}`)
    const listed = (await call(alice, 'GET', `/volumes/detail?limit=1`, { minor })).json.volumes[0]
    t.same(Object.keys(listed).sort(), [...expected, ...detailOnly].sort(), `list at 3.${minor}`)
    const changed = await call(alice, 'PUT', `/volumes/${made.id}`, { minor, json: { volume: { name: 'n' } } })
    t.same(Object.keys(changed.json.volume).sort(), expected, `PUT at 3.${minor}`)
  }
})

t.test('an administrator sees more of a volume', async (t) => {
  for (const minor of minors) {
    const made = await createVolume(admin, {}, minor)
    const expected = [...volumeBase, ...fieldsAt(minor, volumeSince, adminSince)].sort()
    t.same(Object.keys(made).sort(), expected, `POST at 3.${minor}`)
    const shown = (await call(admin, 'GET', `/volumes/${made.id}`, { minor })).json.volume
    t.same(Object.keys(shown).sort(), [...expected, ...detailOnly, ...adminDetailOnly].sort(), `GET at 3.${minor}`)
    t.match(shown['os-vol-host-attr:host'], /.+@.+#.+/)
  }
})

t.test('the brief list has three members', async (t) => {
  await createVolume(alice)
  t.same(Object.keys((await call(alice, 'GET', '/volumes', { minor: 70 })).json.volumes[0]).sort(), [
    'id',
    'links',
    'name',
  ])
})

t.test('a snapshot has exactly the members of its microversion', async (t) => {
  const base = ['created_at', 'description', 'id', 'metadata', 'name', 'size', 'status', 'updated_at', 'volume_id']
  const since = { 14: ['group_snapshot_id'], 41: ['user_id'], 65: ['consumes_quota'] }
  const extended = ['os-extended-snapshot-attributes:progress', 'os-extended-snapshot-attributes:project_id']
  const { id } = await createVolume(alice)
  for (const minor of [0, 13, 14, 40, 41, 64, 65, 70]) {
    const made = await createSnapshot(alice, id, {}, minor)
    const expected = [...base, ...fieldsAt(minor, since)].sort()
    t.same(Object.keys(made).sort(), expected, `POST at 3.${minor}`)
    const shown = (await call(alice, 'GET', `/snapshots/${made.id}`, { minor })).json.snapshot
    t.same(Object.keys(shown).sort(), [...expected, ...extended].sort(), `GET at 3.${minor}`)
    const brief = (await call(alice, 'GET', '/snapshots', { minor })).json.snapshots[0]
    t.same(Object.keys(brief).sort(), base, `brief list at 3.${minor}`)
  }
})

t.test('an attachment has a summary and details', async (t) => {
  const { id } = await createVolume(alice)
  const made = await attach(alice, id)
  const summary = ['id', 'instance', 'status', 'volume_id']
  const detail = [...summary, 'attach_mode', 'attached_at', 'connection_info', 'detached_at'].sort()
  t.same(Object.keys(made).sort(), detail)
  const brief = (await call(alice, 'GET', '/attachments', { minor: 27 })).json.attachments[0]
  t.same(Object.keys(brief).sort(), summary)
  const full = (await call(alice, 'GET', '/attachments/detail', { minor: 27 })).json.attachments[0]
  t.same(Object.keys(full).sort(), detail)
})

t.test('count is there from 3.45 on, when it is asked for', async (t) => {
  const count = async (path: string, minor: number) => (await call(alice, 'GET', path, { minor })).json.count
  t.equal(await count('/volumes?with_count=True', 44), undefined)
  t.equal(await count('/volumes', 45), undefined)
  t.ok((await count('/volumes?with_count=True&limit=1', 45)) > 1)
  t.ok((await count('/snapshots/detail?with_count=True&limit=1', 45)) > 1)
})

import t from 'tap'
import type { ProjectCaller } from '../../../../src/core/model/records.js'
import { startServer } from '../../../../testkit/server.js'
import { call, createSnapshot, createVolume } from './support.js'

const server = await startServer(t)
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))

const octets = { 'content-type': 'application/octet-stream' }

async function rawImage(name: string, sizeBytes: number): Promise<string> {
  const { json } = await alice.ask('/image/v2/images', {
    method: 'POST',
    json: { name, disk_format: 'raw', container_format: 'bare', os_distro: 'debian' },
  })
  await alice.ask(`/image/v2/images/${json.id}/file`, {
    method: 'PUT',
    headers: octets,
    body: Buffer.alloc(sizeBytes, 7),
  })
  return json.id
}

t.test('a blank volume is there at once, as the client asked for it', async (t) => {
  const answer = await call(alice, 'POST', '/volumes', {
    json: {
      volume: { size: 3, name: ' disk ', description: 'd', metadata: { a: 'b' }, imageRef: null, snapshot_id: null },
    },
  })
  t.equal(answer.status, 202)
  t.match(answer.json.volume, {
    name: 'disk',
    description: 'd',
    size: 3,
    status: 'available',
    metadata: { a: 'b' },
    bootable: 'false',
    volume_type: 'atoll',
    availability_zone: 'nova',
    user_id: alice.userId,
    snapshot_id: null,
    source_volid: null,
    attachments: [],
    created_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/,
  })
  const { id, links } = answer.json.volume
  t.same(links, [
    { rel: 'self', href: `${server.url}/volume/v3/${alice.projectId}/volumes/${id}` },
    { rel: 'bookmark', href: `${server.url}/volume/${alice.projectId}/volumes/${id}` },
  ])
  const shown = (await call(alice, 'GET', `/volumes/${id}`)).json.volume
  t.match(shown, { id, name: 'disk', 'os-vol-tenant-attr:tenant_id': alice.projectId })
})

t.test('a volume is made from an image, by id or by name', async (t) => {
  const imageId = await rawImage('an image', 1 << 20)
  for (const imageRef of [imageId, 'an image', `http://elsewhere/v2/images/${imageId}`]) {
    const { id } = await createVolume(alice, { imageRef })
    const shown = (await call(alice, 'GET', `/volumes/${id}`)).json.volume
    t.match(shown, {
      bootable: 'true',
      status: 'available',
      volume_image_metadata: { image_id: imageId, image_name: 'an image', disk_format: 'raw', os_distro: 'debian' },
    })
  }
})

t.test('an image that is not there is 400, and a name that several have is 409', async (t) => {
  const json = (imageRef: string) => ({ volume: { size: 1, imageRef } })
  t.equal((await call(alice, 'POST', '/volumes', { json: json('nobody') })).status, 400)
  await rawImage('twice', 10)
  await rawImage('twice', 10)
  t.equal((await call(alice, 'POST', '/volumes', { json: json('twice') })).status, 409)
})

t.test('a volume is made from a snapshot and from a volume, at least as large', async (t) => {
  const source = await createVolume(alice, { size: 2 })
  const snapshot = await createSnapshot(alice, source.id)
  t.match(await createVolume(alice, { snapshot_id: snapshot.id, size: null }), { size: 2, snapshot_id: snapshot.id })
  t.match(await createVolume(alice, { source_volid: source.id, size: 5 }), { size: 5, source_volid: source.id })
  const smaller = await call(alice, 'POST', '/volumes', { json: { volume: { size: 1, source_volid: source.id } } })
  t.equal(smaller.status, 400)
})

t.test('what cannot be made is refused in words', async (t) => {
  const { id } = await createVolume(alice)
  const snapshot = await createSnapshot(alice, id)
  for (const [volume, status] of [
    [{}, 400],
    [{ size: null }, 400],
    [{ size: 0 }, 400],
    [{ size: 1, snapshot_id: snapshot.id, source_volid: id }, 400],
    [{ size: 1, snapshot_id: '11111111-1111-4111-8111-111111111111' }, 404],
    [{ size: 1, source_volid: '11111111-1111-4111-8111-111111111111' }, 404],
    [{ size: 1, snapshot_id: 'x' }, 400],
    [{ size: 1, volume_type: 'fast' }, 404],
    [{ size: 1, availability_zone: 'mars' }, 400],
    [{ size: 1, multiattach: true }, 400],
    [{ size: 1, group_id: 'g' }, 404],
    [{ size: 1, backup_id: 'b' }, 404],
  ] as const) {
    const answer = await call(alice, 'POST', '/volumes', { minor: 50, json: { volume } })
    t.equal(answer.status, status, JSON.stringify(volume))
  }
  for (const body of ['', '{', '[]', '7', '{"volumes": {}}'])
    t.equal((await alice.ask('/volume/v3/volumes', { method: 'POST', body })).status, 400, body)
})

t.test('__DEFAULT__ is another name of the one type', async (t) => {
  t.equal((await createVolume(alice, { volume_type: '__DEFAULT__' })).volume_type, 'atoll')
})

t.test('a volume is renamed by either name of its name', async (t) => {
  const { id } = await createVolume(alice, { name: 'old', description: 'd' })
  const rename = (volume: Record<string, unknown>) => call(alice, 'PUT', `/volumes/${id}`, { json: { volume } })
  t.match((await rename({ name: 'new' })).json.volume, { name: 'new', description: 'd' })
  t.match((await rename({ display_name: 'newer', display_description: null })).json.volume, {
    name: 'newer',
    description: null,
  })
  t.equal((await rename({ size: 7 })).status, 400)
})

t.test('another project’s volume is not found, whatever is done to it', async (t) => {
  const { id } = await createVolume(alice)
  t.equal((await call(bob, 'GET', `/volumes/${id}`)).status, 404)
  t.equal((await call(bob, 'PUT', `/volumes/${id}`, { json: { volume: { name: 'mine' } } })).status, 404)
  t.equal((await call(bob, 'DELETE', `/volumes/${id}`)).status, 404)
  t.equal((await call(bob, 'POST', `/volumes/${id}/action`, { json: { 'os-extend': { new_size: 2 } } })).status, 404)
  t.equal((await call(bob, 'POST', '/snapshots', { json: { snapshot: { volume_id: id } } })).status, 404)
  t.equal((await call(bob, 'POST', '/volumes', { json: { volume: { source_volid: id } } })).status, 404)
  t.equal((await call(admin, 'GET', `/volumes/${id}`)).status, 200)
})

t.test('a reader looks and changes nothing', async (t) => {
  const { id } = await createVolume(alice)
  const project = 'readers'
  const member = await server.login(await server.createUser({ name: 'writer', project }))
  const reader = await server.login(await server.createUser({ name: 'reader', role: 'reader', project }))
  const theirs = await createVolume(member)
  t.equal((await call(reader, 'GET', `/volumes/${theirs.id}`)).status, 200)
  t.equal((await call(reader, 'DELETE', `/volumes/${theirs.id}`)).status, 403)
  t.equal((await call(reader, 'POST', '/volumes', { json: { volume: { size: 1 } } })).status, 403)
  t.equal((await call(reader, 'GET', `/volumes/${id}`)).status, 404)
})

t.test('a deleted volume is gone when the answer is there', async (t) => {
  const { id } = await createVolume(alice)
  t.equal((await call(alice, 'DELETE', `/volumes/${id}`)).status, 202)
  const shown = await call(alice, 'GET', `/volumes/${id}`)
  t.equal(shown.status, 404)
  t.match(shown.json, { itemNotFound: { code: 404, message: new RegExp(id) } })
})

t.test('a volume with snapshots is deleted only with them', async (t) => {
  const { id } = await createVolume(alice)
  const snapshot = await createSnapshot(alice, id)
  t.equal((await call(alice, 'DELETE', `/volumes/${id}`)).status, 400)
  t.equal((await call(alice, 'DELETE', `/volumes/${id}?cascade=True`)).status, 202)
  t.equal((await call(alice, 'GET', `/volumes/${id}`)).status, 404)
  t.equal((await call(alice, 'GET', `/snapshots/${snapshot.id}`)).status, 404)
})

t.test('a list is filtered, ordered and paged', async (t) => {
  const user = await server.login(await server.createUser({ name: 'lister' }))
  for (const [name, size] of [
    ['c', 1],
    ['a', 2],
    ['b', 3],
  ] as const) {
    await createVolume(user, { name, size, metadata: { [`k-${name}`]: 'v', shared: 'x' } })
  }
  const names = async (query: string, minor = 70) => {
    const { json } = await call(user, 'GET', `/volumes?${query}`, { minor })
    return json.volumes.map((volume: { name: string }) => volume.name)
  }
  t.same(await names('sort=name:asc'), ['a', 'b', 'c'])
  t.same(await names('sort=size:desc'), ['b', 'a', 'c'])
  t.same(await names('name=b'), ['b'])
  t.same(await names('status=in-use'), [])
  t.same(await names('bootable=true'), [])
  t.same(await names(`metadata=${encodeURIComponent("{'k-a': 'v'}")}`), ['a'])
  t.same(await names(`metadata=${encodeURIComponent("{'shared': 'x', 'k-a': 'w'}")}`), [])
  t.same(await names('sort=name:asc&offset=1&limit=1'), ['b'])

  const seen: string[] = []
  let path = '/volumes/detail?limit=2&sort=name:asc'
  for (let pages = 0; pages < 4 && path; pages++) {
    const { json } = await call(user, 'GET', path)
    seen.push(...json.volumes.map((volume: { name: string }) => volume.name))
    const next = json.volumes_links?.[0]
    if (next) t.match(next, { rel: 'next', href: `${server.url}/volume/v3/${user.projectId}/volumes/detail?` })
    path = next?.href.slice(`${server.url}/volume/v3/${user.projectId}`.length)
  }
  t.same(seen, ['a', 'b', 'c'])
})

t.test('all_tenants is for administrators, and ignored from others', async (t) => {
  const { id } = await createVolume(bob, { name: 'bobs' })
  const has = async (session: typeof bob, query: string) =>
    (await call(session, 'GET', `/volumes?${query}`)).json.volumes.some((volume: { id: string }) => volume.id === id)
  t.equal(await has(admin, ''), false)
  t.equal(await has(admin, 'all_tenants=1'), true)
  t.equal(await has(admin, `all_tenants=1&project_id=${bob.projectId}`), true)
  t.equal(await has(admin, `all_tenants=1&project_id=${alice.projectId}`), false)
  t.equal(await has(alice, 'all_tenants=1'), false)
})

t.test(
  'a summary whose metadata is longer than an answer may be is 413, and one of fewer volumes is not',
  async (t) => {
    const user = await server.login(await server.createUser({ name: 'collector' }))
    const caller = (await server.core.sessions.authenticate(user.token)).caller as ProjectCaller
    // 70 volumes with 64 different values of 255 characters: 1.1 MB.
    await Promise.all(
      Array.from({ length: 70 }, (_, volume) => {
        const values = Array.from({ length: 64 }, (_, i) => [`m${i}`, `${volume} ${i} `.padEnd(255, 'x')])
        const metadata: Record<string, string> = Object.fromEntries(values)
        const name = volume === 0 ? 'first' : 'other'
        return server.core.volumeSources.create(caller, { source: { kind: 'blank' }, sizeGib: 1, name, metadata })
      }),
    )
    const whole = await call(user, 'GET', '/volumes/summary', { minor: 36 })
    t.match(whole, { status: 413, text: /overLimit/ })
    const some = await call(user, 'GET', '/volumes/summary?name=first', { minor: 36 })
    t.equal(Object.keys(some.json['volume-summary'].metadata).length, 64)
    t.match((await call(user, 'GET', '/volumes/summary', { minor: 12 })).json, {
      'volume-summary': { total_count: 70, total_size: 70 },
    })
    t.match((await call(user, 'GET', '/limits')).json.limits.absolute, {
      totalVolumesUsed: 70,
      totalGigabytesUsed: 70,
      totalSnapshotsUsed: 0,
    })
  },
)

t.test('the summary adds up', async (t) => {
  const user = await server.login(await server.createUser({ name: 'summer' }))
  await createVolume(user, { size: 2, metadata: { a: '1' } })
  await createVolume(user, { size: 3, metadata: { a: '2', b: '1' } })
  t.same((await call(user, 'GET', '/volumes/summary', { minor: 12 })).json, {
    'volume-summary': { total_count: 2, total_size: 5 },
  })
  const { metadata } = (await call(user, 'GET', '/volumes/summary', { minor: 36 })).json['volume-summary']
  t.same({ a: metadata.a.sort(), b: metadata.b }, { a: ['1', '2'], b: ['1'] })
  t.equal((await call(user, 'GET', '/volumes/summary', { minor: 11 })).status, 404)
})

t.test('a parent may go while its clones live', async (t) => {
  const imageId = await rawImage('short-lived', 3 << 20)
  const { id } = await createVolume(alice, { imageRef: imageId })
  const clone = await createVolume(alice, { source_volid: id })
  await alice.ask(`/image/v2/images/${imageId}`, { method: 'DELETE' })
  await call(alice, 'DELETE', `/volumes/${id}`)
  const answer = await call(alice, 'POST', `/volumes/${clone.id}/action`, {
    json: { 'os-volume_upload_image': { image_name: 'again' } },
  })
  const again = answer.json['os-volume_upload_image'].image_id
  const data = await alice.ask(`/image/v2/images/${again}/file`, { headers: { range: 'bytes=3145720-3145735' } })
  t.same([...data.body], [7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0])
})

import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'
import { createImage, olderPatchType, patch } from './support.js'

const server = await startServer(t)
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))

t.test('version discovery answers 300 at the root and 200 at /versions, without a token', async (t) => {
  const root = await ask(`${server.url}/image/`)
  t.equal(root.status, 300)
  t.match(root.json.versions[0], {
    id: /^v2\.\d+$/,
    status: 'CURRENT',
    links: [{ rel: 'self', href: `${server.url}/image/v2/` }],
  })
  const versions = await ask(`${server.url}/image/versions`)
  t.equal(versions.status, 200)
  t.same(versions.json, root.json)
})

t.test('without a token every other call is 401', async (t) => {
  for (const path of ['/images', '/schemas/image', '/images/x', '/info/import'])
    t.equal((await ask(`${server.url}/image/v2${path}`)).status, 401, path)
})

t.test('a new image is queued, private and its creator’s project’s', async (t) => {
  const answer = await alice.ask('/image/v2/images', {
    method: 'POST',
    json: { name: 'one', disk_format: 'raw', container_format: 'bare', min_disk: 2, tags: ['x'], colour: 'red' },
  })
  t.equal(answer.status, 201)
  const { id, created_at, updated_at, ...rest } = answer.json
  t.equal(answer.headers.location, `/v2/images/${id}`)
  t.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  t.same(rest, {
    name: 'one',
    status: 'queued',
    visibility: 'shared',
    protected: false,
    os_hidden: false,
    owner: alice.projectId,
    disk_format: 'raw',
    container_format: 'bare',
    min_disk: 2,
    min_ram: 0,
    size: null,
    virtual_size: null,
    checksum: null,
    os_hash_algo: null,
    os_hash_value: null,
    tags: ['x'],
    locations: [],
    colour: 'red',
    self: `/v2/images/${id}`,
    file: `/v2/images/${id}/file`,
    schema: '/v2/schemas/image',
  })
  t.same((await alice.ask(`/image/v2/images/${id}`)).json, answer.json)
})

t.test('an image may be given its id, once', async (t) => {
  const id = 'AAAAAAAA-1111-4222-8333-444444444444'
  t.equal((await createImage(alice, { id })).id, id.toLowerCase())
  t.equal((await alice.ask('/image/v2/images', { method: 'POST', json: { id } })).status, 409)
})

t.test('a name in place of an id is not found', async (t) => {
  await createImage(alice, { name: 'by-name' })
  for (const name of ['by-name', 'no%20such', '%2e%2e', 'x'.repeat(300)])
    t.equal((await alice.ask(`/image/v2/images/${name}`)).status, 404, name.slice(0, 20))
})

t.test('another project’s private image is not found, and cannot be changed or deleted', async (t) => {
  const { id } = await createImage(alice, { visibility: 'private' })
  t.equal((await bob.ask(`/image/v2/images/${id}`)).status, 404)
  t.equal((await bob.ask(`/image/v2/images/${id}/file`)).status, 404)
  t.equal((await bob.ask(`/image/v2/images/${id}`, { method: 'DELETE' })).status, 404)
  t.equal((await patch(bob, id, [{ op: 'replace', path: '/name', value: 'mine' }])).status, 404)
  t.equal((await alice.ask(`/image/v2/images/${id}`)).status, 200)
})

t.test('a public image is seen by all, changed by its owner alone, and made by administrators alone', async (t) => {
  const refused = await alice.ask('/image/v2/images', { method: 'POST', json: { visibility: 'public' } })
  t.equal(refused.status, 403)
  const { id } = await createImage(admin, { visibility: 'public', name: 'everybody' })
  t.equal((await bob.ask(`/image/v2/images/${id}`)).json.name, 'everybody')
  t.equal((await bob.ask(`/image/v2/images/${id}`, { method: 'DELETE' })).status, 403)
  t.equal((await patch(bob, id, [{ op: 'replace', path: '/name', value: 'mine' }])).status, 403)
})

t.test('a patch changes members and properties', async (t) => {
  const { id } = await createImage(alice, { name: 'before', colour: 'red', shape: 'round' })
  const answer = await patch(alice, id, [
    { op: 'replace', path: '/name', value: 'after' },
    { op: 'replace', path: '/min_ram', value: 512 },
    { op: 'add', path: '/weight', value: 'light' },
    { op: 'replace', path: '/colour', value: 'blue' },
    { op: 'remove', path: '/shape' },
    { op: 'replace', path: '/tags', value: ['a', 'b'] },
  ])
  t.equal(answer.status, 200)
  t.match(answer.json, { name: 'after', min_ram: 512, weight: 'light', colour: 'blue' })
  t.same(answer.json.tags.sort(), ['a', 'b'])
  t.notOk('shape' in answer.json)
})

t.test('of a patch with one bad operation nothing takes effect', async (t) => {
  const { id } = await createImage(alice, { name: 'before' })
  const refused = await patch(alice, id, [
    { op: 'replace', path: '/name', value: 'after' },
    { op: 'remove', path: '/nothing-here' },
  ])
  t.equal(refused.status, 409)
  t.equal((await alice.ask(`/image/v2/images/${id}`)).json.name, 'before')
})

t.test('a patch in the older form is understood, and its add does not replace', async (t) => {
  const { id } = await createImage(alice, { colour: 'red' })
  const changed = await patch(
    alice,
    id,
    [
      { replace: '/name', value: 'older' },
      { add: '/shape', value: 'round' },
    ],
    olderPatchType,
  )
  t.match(changed.json, { name: 'older', shape: 'round' })
  t.equal((await patch(alice, id, [{ add: '/colour', value: 'blue' }], olderPatchType)).status, 409)
})

t.test('what a patch may not do is 403, and a media type that is no patch is 415', async (t) => {
  const { id } = await createImage(alice)
  for (const operation of [
    { op: 'replace', path: '/status', value: 'active' },
    { op: 'replace', path: '/checksum', value: 'x' },
    { op: 'remove', path: '/name' },
    { op: 'add', path: '/os_glance_stage_host', value: 'x' },
    { op: 'replace', path: '/id', value: 'x' },
    { op: 'replace', path: '/owner', value: bob.projectId },
  ]) {
    t.equal((await patch(alice, id, [operation])).status, 403, JSON.stringify(operation))
  }
  const wrongType = await patch(alice, id, [], 'application/json')
  t.equal(wrongType.status, 415)
  t.match(wrongType.headers['accept-patch'], 'application/openstack-images-v2.1-json-patch')
})

t.test('a protected image is not deleted until its protection is', async (t) => {
  const { id } = await createImage(alice, { protected: true })
  t.equal((await alice.ask(`/image/v2/images/${id}`, { method: 'DELETE' })).status, 403)
  await patch(alice, id, [{ op: 'replace', path: '/protected', value: false }])
  t.equal((await alice.ask(`/image/v2/images/${id}`, { method: 'DELETE' })).status, 204)
  t.equal((await alice.ask(`/image/v2/images/${id}`)).status, 404)
})

t.test('tags come and go, whatever media type a client claims for no body', async (t) => {
  const { id } = await createImage(alice)
  const headers = { 'content-type': 'application/octet-stream' }
  const tag = `/image/v2/images/${id}/tags/${encodeURIComponent('a b/ü')}`
  t.equal((await alice.ask(tag, { method: 'PUT', headers })).status, 204)
  t.equal((await alice.ask(tag, { method: 'PUT', headers })).status, 204)
  t.same((await alice.ask(`/image/v2/images/${id}`)).json.tags, ['a b/ü'])
  t.equal((await alice.ask(tag, { method: 'DELETE', headers })).status, 204)
  t.equal((await alice.ask(tag, { method: 'DELETE', headers })).status, 404)
})

t.test('more properties or tags than an image may have are 413, and change nothing', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`p${i}`, 'x']))
  const tags = Array.from({ length: 128 }, (_, i) => `t${i}`)
  const { id } = await createImage(alice, { ...many, tags })
  const path = `/image/v2/images/${id}`
  const json = (value: object) => alice.ask('/image/v2/images', { method: 'POST', json: value })
  for (const answer of [
    await json({ ...many, more: 'x' }),
    await json({ tags: [...tags, 'more'] }),
    await json({ a: 'x'.repeat(65_000), b: 'x'.repeat(65_000), c: 'x'.repeat(65_000) }),
    await patch(alice, id, [{ op: 'add', path: '/more', value: 'x' }]),
    await patch(alice, id, [{ op: 'replace', path: '/tags', value: [...tags, 'more'] }]),
    await alice.ask(`${path}/tags/more`, { method: 'PUT' }),
  ])
    t.match(answer, { status: 413, text: /The limit has been exceeded|131072 bytes/ })
  const image = (await alice.ask(path)).json
  t.equal(image.more, undefined)
  t.equal(image.tags.length, 128)
})

t.test('a list is filtered', async (t) => {
  const user = await server.login(await server.createUser({ name: 'lister' }))
  const one = await createImage(user, { name: 'one', tags: ['a', 'b'], colour: 'red' })
  const two = await createImage(user, { name: 'two', tags: ['a'], disk_format: 'qcow2', protected: true })
  const hidden = await createImage(user, { name: 'hidden', os_hidden: true })
  const idsOf = async (query: string) => {
    const answer = await user.ask(`/image/v2/images?owner=${user.projectId}&${query}`)
    t.equal(answer.status, 200, query)
    return answer.json.images.map((image: { id: string }) => image.id).sort()
  }
  const sorted = (...images: { id: string }[]) => images.map(({ id }) => id).sort()
  t.same(await idsOf(''), sorted(one, two))
  t.same(await idsOf('name=one'), sorted(one))
  t.same(await idsOf('name=in:one,two'), sorted(one, two))
  t.same(await idsOf(`id=in:${one.id},${hidden.id}`), sorted(one))
  t.same(await idsOf('tag=a&tag=b'), sorted(one))
  t.same(await idsOf('disk_format=qcow2'), sorted(two))
  t.same(await idsOf('colour=red'), sorted(one))
  t.same(await idsOf('colour=blue'), [])
  t.same(await idsOf('protected=true'), sorted(two))
  t.same(await idsOf('os_hidden=true'), sorted(hidden))
  t.same(await idsOf('status=active'), [])
  t.same(await idsOf('created_at=gt:2000-01-01T00:00:00Z'), sorted(one, two))
  t.same(await idsOf('created_at=lt:2000-01-01T00:00:00Z'), [])
})

t.test('a list is ordered and paged, and next is there exactly when there is more', async (t) => {
  const user = await server.login(await server.createUser({ name: 'pager' }))
  for (const name of ['c', 'a', 'e', 'b', 'd']) await createImage(user, { name, visibility: 'private' })
  const seen: string[] = []
  let url = '/v2/images?limit=2&sort_key=name&sort_dir=asc&visibility=private'
  for (let pages = 0; pages < 5 && url; pages++) {
    const { json } = await user.ask(`/image${url}`)
    t.equal(json.first, '/v2/images?limit=2&sort_key=name&sort_dir=asc&visibility=private')
    t.equal(json.schema, '/v2/schemas/images')
    seen.push(...json.images.map((image: { name: string }) => image.name))
    url = json.next
  }
  t.same(seen, ['a', 'b', 'c', 'd', 'e'])
  t.equal(url, undefined)
  t.equal((await user.ask('/image/v2/images?marker=nobody')).status, 400)
})

t.test('schemas name members with their kinds', async (t) => {
  const { json } = await alice.ask('/image/v2/schemas/image')
  t.equal(json.name, 'image')
  t.same(json.additionalProperties, { type: 'string' })
  const images = (await alice.ask('/image/v2/schemas/images')).json
  t.same(images.properties.images.items.properties, json.properties)
  t.equal((await alice.ask('/image/v2/schemas/members')).json.name, 'members')
})

t.test('calls that Atoll does not support are 400 and unknown paths 404, both in the format of Glance', async (t) => {
  const { id } = await createImage(alice)
  const tasks = await alice.ask(`/image/v2/images/${id}/tasks`)
  t.match(tasks, { status: 400, text: /Atoll does not support the list of tasks of an image/ })
  t.match(tasks.headers['content-type'], 'text/html')
  const json = await alice.ask('/image/v2/nothing', { headers: { accept: 'application/json' } })
  t.equal(json.status, 404)
  t.match(json.json, { code: '404 Not Found' })
})

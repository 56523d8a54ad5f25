import { createHash } from 'node:crypto'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { addLocation, createImage, patch, patterned } from './support.js'

const server = await startServer(t)
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))

const data = patterned(5 << 20)
const md5 = createHash('md5').update(data).digest('hex')
const sha256 = createHash('sha256').update(data).digest('hex')
const swiftUrl = `swift://AUTH_${alice.projectId}/disks/a%20disk`
const small = data.subarray(0, 4 << 20)
const sha256OfSmall = createHash('sha256').update(small).digest('hex')
const smallUrl = `swift://AUTH_${alice.projectId}/disks/small`

t.before(async () => {
  await alice.ask(`/v1/AUTH_${alice.projectId}/disks`, { method: 'PUT' })
  await alice.ask(`/v1/AUTH_${alice.projectId}/disks/a%20disk`, { method: 'PUT', body: data })
  await alice.ask(`/v1/AUTH_${alice.projectId}/disks/small`, { method: 'PUT', body: small })
})

t.test('an object becomes an image and no data is written', async (t) => {
  const { id } = await createImage(alice)
  const before = server.counters()
  const answer = await addLocation(alice, id, swiftUrl)
  const after = server.counters()
  t.equal(answer.status, 200, answer.text)
  t.match(answer.json, {
    status: 'active',
    size: data.length,
    checksum: md5,
    os_hash_algo: null,
    os_hash_value: null,
    locations: [{ url: swiftUrl, metadata: {} }],
  })
  t.equal(after.bytesWritten, before.bytesWritten)
  t.equal(after.contentBytesWritten, before.contentBytesWritten)
  t.ok((await alice.ask(`/image/v2/images/${id}/file`)).body.equals(data))
})

t.test('the SHA-256 of an object of up to 4 MiB is known', async (t) => {
  const { id } = await createImage(alice)
  const answer = await addLocation(alice, id, smallUrl, { os_hash_algo: 'sha256', os_hash_value: sha256OfSmall })
  t.equal(answer.status, 200, answer.text)
  t.match(answer.json, { size: small.length, os_hash_algo: 'sha256', os_hash_value: sha256OfSmall })
})

t.test('the object’s own URL will do, and the formats may come along in one patch', async (t) => {
  const { id } = await createImage(alice, { disk_format: null, container_format: null })
  const url = `${server.url}/v1/AUTH_${alice.projectId}/disks/a%20disk`
  const answer = await patch(alice, id, [
    { op: 'replace', path: '/disk_format', value: 'raw' },
    { op: 'replace', path: '/container_format', value: 'bare' },
    { op: 'add', path: '/locations/-', value: { url, metadata: {} } },
  ])
  t.equal(answer.status, 200, answer.text)
  t.match(answer.json, { status: 'active', checksum: md5 })
})

t.test('an image may be made with its location', async (t) => {
  const image = await createImage(alice, { locations: [{ url: swiftUrl, metadata: {} }] })
  t.match(image, { status: 'active', size: data.length })
})

t.test('an image whose location is refused is not made', async (t) => {
  const refused = await alice.ask('/image/v2/images', {
    method: 'POST',
    json: {
      name: 'never',
      protected: true,
      disk_format: 'raw',
      container_format: 'bare',
      locations: [{ url: `${swiftUrl}-not`, metadata: {} }],
    },
  })
  t.equal(refused.status, 404)
  t.same((await alice.ask('/image/v2/images?name=never')).json.images, [])
})

t.test('what the data must be is verified: a mismatch is 400 and changes nothing', async (t) => {
  const { id } = await createImage(alice, { name: 'verified' })
  for (const validation of [
    { checksum: 'f'.repeat(32) },
    { size: data.length + 1 },
    { os_hash_algo: 'sha256', os_hash_value: 'f'.repeat(64) },
    { os_hash_algo: 'sha512', os_hash_value: 'f'.repeat(128) },
    { checksum: md5, size: 1 },
  ]) {
    t.equal((await addLocation(alice, id, swiftUrl, validation)).status, 400, JSON.stringify(validation))
  }
  const wrongSize = { url: swiftUrl, metadata: { size: 7 } }
  t.equal((await patch(alice, id, [{ op: 'add', path: '/locations/-', value: wrongSize }])).status, 400)
  t.match((await alice.ask(`/image/v2/images/${id}`)).json, { status: 'queued', size: null })
  const unknown = await addLocation(alice, id, swiftUrl, { os_hash_algo: 'sha256', os_hash_value: sha256 })
  t.equal(unknown.status, 400)
  t.match(unknown.text, /SHA-256.*not known/, 'nobody has computed it')
  const wrongHash = { os_hash_algo: 'sha256', os_hash_value: 'f'.repeat(64) }
  t.equal((await addLocation(alice, id, smallUrl, wrongHash)).status, 400)
  const right = { checksum: md5.toUpperCase(), size: data.length }
  t.equal((await addLocation(alice, id, swiftUrl, right)).status, 200)
})

t.test('a patch whose location is refused leaves the rest undone too', async (t) => {
  const { id } = await createImage(alice, { name: 'before', colour: 'red' })
  const refused = await patch(alice, id, [
    { op: 'replace', path: '/name', value: 'after' },
    { op: 'replace', path: '/colour', value: 'blue' },
    { op: 'add', path: '/locations/-', value: { url: 'swift://nonsense', metadata: {} } },
  ])
  t.equal(refused.status, 400)
  t.match((await alice.ask(`/image/v2/images/${id}`)).json, { name: 'before', colour: 'red', status: 'queued' })
})

t.test('another project’s object is out of reach, and whether it is there is not told', async (t) => {
  const { id } = await createImage(bob)
  const there = await addLocation(bob, id, swiftUrl)
  const notThere = await addLocation(bob, id, `${swiftUrl}-not`)
  t.equal(there.status, 403)
  t.same([notThere.status, notThere.text], [there.status, there.text])
  t.equal((await bob.ask(`/image/v2/images/${id}`)).json.status, 'queued')
})

t.test('other places are never asked', async (t) => {
  const { id } = await createImage(alice)
  for (const url of [
    'http://127.0.0.1:1/v1/AUTH_x/c/o',
    'file:///etc/passwd',
    'swift://user:key@host/c/o',
    'rbd://pool/image',
    'cinder://volumes/not-a-uuid',
    '',
    'x',
  ]) {
    const { status } = await addLocation(alice, id, url)
    t.ok(status === 400 || status === 404, `${url}: ${status}`)
  }
})

t.test('an image has one location, which stays', async (t) => {
  const { id } = await createImage(alice, { locations: [{ url: swiftUrl, metadata: {} }] })
  t.equal((await addLocation(alice, id, swiftUrl)).status, 409)
  t.equal((await patch(alice, id, [{ op: 'remove', path: '/locations/0' }])).status, 403)
  t.equal((await patch(alice, id, [{ op: 'replace', path: '/locations', value: [] }])).status, 403)
  const same = [{ op: 'replace', path: '/locations', value: [{ url: swiftUrl, metadata: { a: 'b' } }] }]
  t.equal((await patch(alice, id, same)).status, 200)
})

t.test('a location is for the owner’s eyes', async (t) => {
  const { id } = await createImage(alice, { visibility: 'community', locations: [{ url: swiftUrl, metadata: {} }] })
  t.same((await bob.ask(`/image/v2/images/${id}`)).json.locations, [])
})

t.test('object and image go their own ways: deleting one leaves the other', async (t) => {
  const object = `/v1/AUTH_${alice.projectId}/disks/short-lived`
  await alice.ask(object, { method: 'PUT', body: data })
  const { id } = await createImage(alice, {
    locations: [{ url: `swift://AUTH_${alice.projectId}/disks/short-lived`, metadata: {} }],
  })
  await alice.ask(object, { method: 'DELETE' })
  t.ok((await alice.ask(`/image/v2/images/${id}/file`)).body.equals(data))
  const other = await createImage(alice, { locations: [{ url: swiftUrl, metadata: {} }] })
  await alice.ask(`/image/v2/images/${other.id}`, { method: 'DELETE' })
  t.ok((await alice.ask(`/v1/AUTH_${alice.projectId}/disks/a%20disk`)).body.equals(data))
})

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { addLocation, createImage, octets, patch } from './support.js'

const server = await startServer(t)
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))
const account = `/v1/AUTH_${alice.projectId}`

async function upload(name: string, data: string): Promise<string> {
  const { id } = await createImage(alice, { name })
  const body = Buffer.from(data)
  const answer = await alice.ask(`/image/v2/images/${id}/file`, { method: 'PUT', headers: octets, body })
  t.equal(answer.status, 204, answer.text)
  return id
}

async function cinder(method: string, path: string, body?: unknown) {
  return alice.ask(`/volume/v3/${alice.projectId}${path}`, { method, json: body })
}

async function newVolume(from: Record<string, unknown> = {}): Promise<string> {
  const answer = await cinder('POST', '/volumes', { volume: { size: 1, ...from } })
  t.equal(answer.status, 202, answer.text)
  return (answer.json as { volume: { id: string } }).volume.id
}

async function newSnapshot(name: string, volume?: string): Promise<string> {
  const snapshot = { name, volume_id: volume ?? (await newVolume()) }
  const answer = await cinder('POST', '/snapshots', { snapshot })
  t.equal(answer.status, 202, answer.text)
  return (answer.json as { snapshot: { id: string } }).snapshot.id
}

async function listing(container: string): Promise<{ name: string; bytes: number; hash: string }[]> {
  const answer = await alice.ask(`${account}/${container}?format=json`)
  return answer.status === 404 ? [] : (answer.json as { name: string; bytes: number; hash: string }[])
}

/** Which of the three views are there. */
async function views(id: string, path: string): Promise<string> {
  const [object, image, snapshot] = await Promise.all([
    alice.ask(`${account}/${path}`, { method: 'HEAD' }),
    alice.ask(`/image/v2/images/${id}`),
    cinder('GET', `/snapshots/${id}`),
  ])
  const named = { object, image, snapshot }
  return Object.entries(named)
    .filter(([, { status }]) => status === 200)
    .map(([name]) => name)
    .join(' ')
}

t.test('an uploaded image is an object in images, which goes with it', async (t) => {
  const id = await upload('an image', 'its bytes')
  const object = await alice.ask(`${account}/images/an%20image`)
  t.equal(object.text, 'its bytes')
  t.match(await listing('images'), [{ name: 'an image', bytes: 9, hash: object.headers['etag'] }])
  t.equal((await alice.ask(`/image/v2/images/${id}`, { method: 'DELETE' })).status, 204)
  t.same(await listing('images'), [])
})

t.test('a snapshot is an object and a private image, and the object has the bytes of its moment', async (t) => {
  const source = await upload('for a volume', 'first bytes')
  const volume = await newVolume({ imageRef: source })
  const id = await newSnapshot('the moment', volume)
  const image = await alice.ask(`/image/v2/images/${id}`)
  t.match(image.json, {
    name: 'the moment',
    status: 'active',
    visibility: 'private',
    disk_format: 'raw',
    image_type: 'snapshot',
    EXCLUDE_ALL_TASKS: 'yes',
    size: 1 << 30,
    checksum: null,
  })
  t.equal((await bob.ask(`/image/v2/images/${id}`)).status, 404)
  const part = await alice.ask(`${account}/snapshots/the%20moment`, { headers: { range: 'bytes=0-10' } })
  t.equal(part.status, 206)
  t.equal(part.text, 'first bytes')
  const head = await alice.ask(`${account}/snapshots/the%20moment`, { method: 'HEAD' })
  t.equal(head.headers['content-length'], String(1 << 30))
  t.notOk('etag' in head.headers, 'nobody has read the bytes')
  t.match(await listing('snapshots'), [{ name: 'the moment', bytes: 1 << 30, hash: '' }])
  const asked = { headers: { 'if-match': '"d41d8cd98f00b204e9800998ecf8427e"' } }
  t.equal((await alice.ask(`${account}/snapshots/the%20moment`, asked)).status, 412)
  await cinder('DELETE', `/snapshots/${id}`)
})

t.test('two snapshots of one name both survive as objects', async (t) => {
  const [first, second] = [await newSnapshot('same'), await newSnapshot('same')]
  t.same((await listing('snapshots')).map(({ name }) => name).sort(), ['same', `same.${second}`])
  await cinder('DELETE', `/snapshots/${first}`)
  t.same(
    (await listing('snapshots')).map(({ name }) => name),
    [`same.${second}`],
  )
  await cinder('DELETE', `/snapshots/${second}`)
  t.same(await listing('snapshots'), [])
})

t.test('EXCLUDE_ALL_TASKS decides whether an image is a snapshot, and no data byte is written', async (t) => {
  const id = await upload('an image', 'a disk')
  const before = server.counters()
  t.equal((await cinder('GET', `/snapshots/${id}`)).status, 404)
  await patch(alice, id, [{ op: 'add', path: '/EXCLUDE_ALL_TASKS', value: 'yes' }])
  const shown = await cinder('GET', `/snapshots/${id}`)
  t.match(shown.json, { snapshot: { id, name: 'an image', volume_id: null, size: 1, status: 'available' } })
  const clone = await newVolume({ snapshot_id: id })
  t.match((await cinder('GET', `/volumes/${clone}`)).json, { volume: { snapshot_id: id } })
  await patch(alice, id, [{ op: 'remove', path: '/EXCLUDE_ALL_TASKS' }])
  t.equal((await cinder('GET', `/snapshots/${id}`)).status, 404)

  const taken = await newSnapshot('with a volume')
  const { volume_id: volume } = ((await cinder('GET', `/snapshots/${taken}`)).json as never)['snapshot']
  await patch(alice, taken, [{ op: 'remove', path: '/EXCLUDE_ALL_TASKS' }])
  t.equal((await cinder('GET', `/snapshots/${taken}`)).status, 404)
  await patch(alice, taken, [{ op: 'add', path: '/EXCLUDE_ALL_TASKS', value: 'yes' }])
  t.match((await cinder('GET', `/snapshots/${taken}`)).json, { snapshot: { volume_id: volume } })
  const after = server.counters()
  t.equal(after.bytesWritten, before.bytesWritten)
  t.equal(after.contentBytesWritten, before.contentBytesWritten)
})

t.test('an object that is moved or overwritten leaves its image as it was', async (t) => {
  const id = await upload('movable', 'the bytes')
  const headers = { destination: 'images/moved' }
  t.equal((await alice.ask(`${account}/images/movable`, { method: 'COPY', headers })).status, 201)
  await alice.ask(`${account}/images/movable`, { method: 'PUT', body: Buffer.from('others') })
  t.equal((await alice.ask(`/image/v2/images/${id}/file`)).text, 'the bytes')
  await alice.ask(`/image/v2/images/${id}`, { method: 'DELETE' })
  t.equal((await alice.ask(`${account}/images/movable`)).text, 'others', 'it was no longer the object of the image')
  t.equal((await alice.ask(`${account}/images/moved`)).text, 'the bytes')
})

t.test('deleting the object, the image or the snapshot leaves what the table says', async (t) => {
  const [byObject, byImage, bySnapshot] = [await newSnapshot('a'), await newSnapshot('b'), await newSnapshot('c')]
  await alice.ask(`${account}/snapshots/a`, { method: 'DELETE' })
  t.equal(await views(byObject, 'snapshots/a'), 'image snapshot')
  await alice.ask(`/image/v2/images/${byImage}`, { method: 'DELETE' })
  t.equal(await views(byImage, 'snapshots/b'), 'object')
  await cinder('DELETE', `/snapshots/${bySnapshot}`)
  t.equal(await views(bySnapshot, 'snapshots/c'), '')

  const registered = await createImage(alice, { name: 'of b', EXCLUDE_ALL_TASKS: 'yes' })
  const location = await addLocation(alice, registered.id, `swift://AUTH_${alice.projectId}/snapshots/b`)
  t.equal(location.status, 200, location.text)
  t.equal(await views(registered.id, 'snapshots/b'), 'object image snapshot')
  await cinder('DELETE', `/snapshots/${registered.id}`)
  t.equal(await views(registered.id, 'snapshots/b'), 'object', 'it was registered from that object')
})

t.test('a snapshot whose image is protected is not deleted', async (t) => {
  const id = await newSnapshot('kept')
  await patch(alice, id, [{ op: 'replace', path: '/protected', value: true }])
  t.equal((await cinder('DELETE', `/snapshots/${id}`)).status, 403)
  t.equal(await views(id, 'snapshots/kept'), 'object image snapshot')
})

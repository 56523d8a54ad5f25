import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import { sendRaw } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'
import { createImage, octets, patterned, upload } from './support.js'

const server = await startServer(t)
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))

const digest = (algorithm: string, data: Buffer) => createHash(algorithm).update(data).digest('hex')

t.test('data goes in and comes out as it was, with its digests', async (t) => {
  const data = patterned(9 << 20)
  const { id } = await createImage(alice)
  await upload(alice, id, data)
  const image = (await alice.ask(`/image/v2/images/${id}`)).json
  t.match(image, {
    status: 'active',
    size: data.length,
    virtual_size: data.length,
    checksum: digest('md5', data),
    os_hash_algo: 'sha256',
    os_hash_value: digest('sha256', data),
    stores: 'atoll',
  })
  const down = await alice.ask(`/image/v2/images/${id}/file`)
  t.equal(down.status, 200)
  t.equal(down.headers['content-md5'], image.checksum)
  t.equal(down.headers['content-length'], String(data.length))
  t.equal(down.headers['content-type'], 'application/octet-stream')
  t.ok(down.body.equals(data))
})

t.test('data may be sent without saying how much there is', async (t) => {
  const data = patterned(300_000)
  const { id } = await createImage(alice)
  const chunks = [data.subarray(0, 1), data.subarray(1, 100_000), data.subarray(100_000)]
  const answer = await alice.ask(`/image/v2/images/${id}/file`, {
    method: 'PUT',
    headers: octets,
    body: Readable.from(chunks),
  })
  t.equal(answer.status, 204)
  t.ok((await alice.ask(`/image/v2/images/${id}/file`)).body.equals(data))
})

t.test('an empty image is an image', async (t) => {
  const { id } = await createImage(alice)
  await upload(alice, id, Buffer.alloc(0))
  t.match((await alice.ask(`/image/v2/images/${id}`)).json, { status: 'active', size: 0 })
  const down = await alice.ask(`/image/v2/images/${id}/file`)
  t.equal(down.status, 200)
  t.equal(down.body.length, 0)
})

t.test('one range is served, and what is no range is 416', async (t) => {
  const data = patterned(100_000)
  const { id } = await createImage(alice)
  await upload(alice, id, data)
  const part = await alice.ask(`/image/v2/images/${id}/file`, { headers: { range: 'bytes=5000-5999' } })
  t.equal(part.status, 206)
  t.equal(part.headers['content-range'], `bytes 5000-5999/${data.length}`)
  t.ok(part.body.equals(data.subarray(5000, 6000)))
  const tail = await alice.ask(`/image/v2/images/${id}/file`, { headers: { range: 'bytes=-10' } })
  t.ok(tail.body.equals(data.subarray(-10)))
  const beyond = await alice.ask(`/image/v2/images/${id}/file`, { headers: { range: 'bytes=100000-' } })
  t.equal(beyond.status, 416)
  t.equal(beyond.headers['content-range'], `bytes */${data.length}`)
})

t.test('an image without data answers 204', async (t) => {
  const { id } = await createImage(alice)
  t.equal((await alice.ask(`/image/v2/images/${id}/file`)).status, 204)
})

t.test('data is given once, and only when the formats are known', async (t) => {
  const { id } = await createImage(alice)
  await upload(alice, id, patterned(10))
  const again = await alice.ask(`/image/v2/images/${id}/file`, { method: 'PUT', headers: octets, body: 'x' })
  t.equal(again.status, 409)
  const bare = await createImage(alice, { disk_format: null, container_format: null })
  const early = await alice.ask(`/image/v2/images/${bare.id}/file`, { method: 'PUT', headers: octets, body: 'x' })
  t.equal(early.status, 400)
})

t.test('data of another media type is 415', async (t) => {
  const { id } = await createImage(alice)
  const answer = await alice.ask(`/image/v2/images/${id}/file`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
  t.equal(answer.status, 415)
})

t.test('an upload that breaks off leaves the image queued, and it can be tried again', async (t) => {
  const { id } = await createImage(alice)
  const head = [
    `PUT /image/v2/images/${id}/file HTTP/1.1`,
    'Host: x',
    `X-Auth-Token: ${alice.token}`,
    'Content-Type: application/octet-stream',
    'Content-Length: 1000000',
  ]
  await sendRaw(server.url, `${head.join('\r\n')}\r\n\r\nonly so much`, { quietMs: 300 })
  for (let tries = 0; tries < 100; tries++) {
    if ((await alice.ask(`/image/v2/images/${id}`)).json.status === 'queued') break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const data = patterned(5000)
  await upload(alice, id, data)
  t.ok((await alice.ask(`/image/v2/images/${id}/file`)).body.equals(data))
})

t.test('a deactivated image’s data is for administrators alone, until it is reactivated', async (t) => {
  const { id } = await createImage(alice)
  await upload(alice, id, patterned(10))
  const action = (name: string) =>
    admin.ask(`/image/v2/images/${id}/actions/${name}`, { method: 'POST', headers: octets })
  t.equal((await action('deactivate')).status, 204)
  t.equal((await alice.ask(`/image/v2/images/${id}`)).json.status, 'deactivated')
  t.equal((await alice.ask(`/image/v2/images/${id}/file`)).status, 403)
  t.equal((await admin.ask(`/image/v2/images/${id}/file`)).status, 200)
  t.equal((await action('reactivate')).status, 204)
  t.equal((await alice.ask(`/image/v2/images/${id}/file`)).status, 200)
})

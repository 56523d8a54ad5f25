// Requests that arrive at the same moment, on a connection each: what one of them read is not what it overwrites for another.
//
// The races of core (test/core/together/concurrency.test.ts) cannot see an API that reads in one transaction and writes in the next; this can.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { type Session, startServer } from '../../../testkit/server.js'
import { createSnapshot, createVolume } from '../apis/cinder/support.js'
import { createImage, patchType } from '../apis/glance/support.js'

const times = 20
const server = await startServer(t, { nbd: true })
const alice = await server.login(await server.createUser({ name: 'alice' }))
const container = `/v1/AUTH_${alice.projectId}/c`
await alice.ask('c', { method: 'PUT' })
await alice.ask('c/o', { method: 'PUT', body: 'data' })

interface BurstRequest {
  method: string
  path: string
  headers?: Record<string, string>
  json?: unknown
}

interface Row {
  what: string
  subject: () => Promise<string>
  request: (id: string, i: number) => BurstRequest
  /** How many answers have each status. */
  answers: Record<number, number>
  /** Which of the parts that were added are there. */
  kept?: (id: string) => Promise<string[]>
  count?: number
}

const volume = async (): Promise<string> => (await createVolume(alice)).id
const snapshot = async (): Promise<string> => (await createSnapshot(alice, await volume())).id
const image = async (): Promise<string> => (await createImage(alice)).id
const tagged = async (): Promise<string> => (await createImage(alice, { tags: ['t'] })).id
const shown = async (path: string) => (await alice.ask(path)).json
const volumeAction = (id: string, json: unknown) => ({
  method: 'POST',
  path: `/volume/v3/volumes/${id}/action`,
  json,
})
const instance = (i: number) => `11111111-2222-4333-8444-5555555555${String(10 + i)}`

const rows: Row[] = [
  {
    what: 'metadata of a volume, by either of its paths',
    subject: volume,
    request: (id, i) => ({
      method: 'POST',
      path: `/volume/v3/${i % 2 ? '' : `${alice.projectId}/`}volumes/${id}/metadata`,
      json: { metadata: { [`k${i}`]: 'v' } },
    }),
    answers: { 200: times },
    kept: async (id) => Object.keys((await shown(`/volume/v3/volumes/${id}/metadata`)).metadata),
    count: times,
  },
  {
    what: 'metadata of a snapshot, item by item',
    subject: snapshot,
    request: (id, i) => ({
      method: 'PUT',
      path: `/volume/v3/snapshots/${id}/metadata/k${i}`,
      json: { meta: { [`k${i}`]: 'v' } },
    }),
    answers: { 200: times },
    kept: async (id) => Object.keys((await shown(`/volume/v3/snapshots/${id}/metadata`)).metadata),
    count: times,
  },
  {
    what: 'os-set_image_metadata',
    subject: volume,
    request: (id, i) => volumeAction(id, { 'os-set_image_metadata': { metadata: { [`k${i}`]: 'v' } } }),
    answers: { 200: times },
    kept: async (id) => Object.keys((await shown(`/volume/v3/volumes/${id}`)).volume.volume_image_metadata),
    count: times,
  },
  {
    what: 'properties of an image',
    subject: image,
    request: (id, i) => ({
      method: 'PATCH',
      path: `/image/v2/images/${id}`,
      headers: { 'content-type': patchType },
      json: [{ op: 'add', path: `/p${i}`, value: 'v' }],
    }),
    answers: { 200: times },
    kept: async (id) => Object.keys(await shown(`/image/v2/images/${id}`)).filter((name) => /^p\d/.test(name)),
    count: times,
  },
  {
    what: 'a location of an image',
    subject: image,
    request: (id) => ({
      method: 'PATCH',
      path: `/image/v2/images/${id}`,
      headers: { 'content-type': patchType },
      json: [{ op: 'add', path: '/locations/-', value: { url: `swift://AUTH_${alice.projectId}/c/o`, metadata: {} } }],
    }),
    answers: { 200: 1, 409: times - 1 },
  },
  {
    what: 'a tag that is removed',
    subject: tagged,
    request: (id) => ({ method: 'DELETE', path: `/image/v2/images/${id}/tags/t` }),
    answers: { 204: 1, 404: times - 1 },
  },
  {
    what: 'metadata of a container, ten items each, up to its limit of 90',
    subject: async () => container,
    request: (path, i) => ({
      method: 'POST',
      path,
      headers: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`x-container-meta-${i}-${n}`, 'v'])),
    }),
    answers: { 204: 9, 400: times - 9 },
    kept: async (path) =>
      Object.keys((await alice.ask(path, { method: 'HEAD' })).headers).filter((name) =>
        /^x-container-meta-/.test(name),
      ),
    count: 90,
  },
  {
    what: 'os-reserve',
    subject: volume,
    request: (id) => volumeAction(id, { 'os-reserve': null }),
    answers: { 202: 1, 400: times - 1 },
  },
  {
    what: 'os-initialize_connection of one host',
    subject: volume,
    request: (id) => volumeAction(id, { 'os-initialize_connection': { connector: { host: 'h' } } }),
    answers: { 200: times },
  },
  {
    what: 'os-attach to different instances',
    subject: async () => {
      const id = await volume()
      const connected = volumeAction(id, { 'os-initialize_connection': { connector: { host: 'h' } } })
      await alice.ask(connected.path, { method: 'POST', json: connected.json })
      return id
    },
    request: (id, i) => volumeAction(id, { 'os-attach': { instance_uuid: instance(i), mountpoint: '/dev/vdb' } }),
    answers: { 202: 1, 400: times - 1 },
    kept: async (id) =>
      (await shown(`/volume/v3/volumes/${id}`)).volume.attachments.map((one: { server_id: string }) => one.server_id),
    count: 1,
  },
]

for (const row of rows) {
  t.test(`${times} requests at once lose nothing: ${row.what}`, async (t) => {
    const id = await row.subject()
    const statuses = await burst(
      alice,
      Array.from({ length: times }, (_, i) => row.request(id, i)),
    )
    const counts: Record<string, number> = {}
    for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1
    t.same(counts, row.answers)
    if (row.kept !== undefined) t.equal(new Set(await row.kept(id)).size, row.count)
  })
}

/** Sends all in one turn of the event loop, on connections that the server has taken already. Returns the statuses. */
async function burst(session: Session, requests: BurstRequest[]): Promise<string[]> {
  const sockets = await Promise.all(requests.map(() => connected()))
  const answers = sockets.map(statusFrom)
  for (const [i, socket] of sockets.entries()) socket.write(textOf(requests[i] as BurstRequest, session.token))
  const statuses = await Promise.all(answers)
  for (const socket of sockets) socket.destroy()
  return statuses
}

async function connected(): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  await once(socket, 'connect')
  // HEAD has no body, so that what comes after this answer is the next one.
  socket.write('HEAD /healthcheck HTTP/1.1\r\nHost: test\r\n\r\n')
  if ((await statusFrom(socket)) !== '200') throw new Error('the server does not answer')
  return socket
}

/** Resolves when the head of an answer is there; nothing else may read meanwhile. */
async function statusFrom(socket: Socket): Promise<string> {
  for (let head = ''; ; ) {
    const [piece] = (await once(socket, 'data')) as [Buffer]
    head += piece.toString('latin1')
    if (head.includes('\r\n\r\n')) return head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)
  }
}

function textOf({ method, path, headers, json }: BurstRequest, token: string): string {
  const body = json === undefined ? '' : JSON.stringify(json)
  const lines = Object.entries({
    host: 'test',
    'x-auth-token': token,
    ...(body !== '' && { 'content-type': 'application/json' }),
    ...headers,
    'content-length': String(Buffer.byteLength(body)),
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

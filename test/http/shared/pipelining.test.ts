// Requests that a client sends without waiting for the answers take effect in the order in which it sent them.

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { sendRaw } from '../../../testkit/http.js'
import { type Session, startServer, type TestServer } from '../../../testkit/server.js'

const head = (session: Session, method: string, name: string, more = '') =>
  `${method} ${new URL(session.storageUrl).pathname}/${name} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\n${more}\r\n`
const put = (session: Session, name: string, body: string) =>
  `${head(session, 'PUT', name, `Content-Length: ${body.length}\r\n`)}${body}`
const last = 'GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

const statuses = (answers: string): number[] =>
  [...answers.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))

async function withContainer(t: {
  teardown(end: () => unknown): unknown
}): Promise<{ server: TestServer; session: Session }> {
  const server = await startServer(t)
  const session = await server.login()
  await session.ask('box', { method: 'PUT' })
  return { server, session }
}

t.test('pipelined PUT, GET and DELETE of one object take effect in order', async (t) => {
  const { server, session } = await withContainer(t)
  for (let round = 0; round < 20; round++) {
    const body = `round ${round} ${'x'.repeat(100_000)}`
    const name = `box/o${round}`
    const sent = [
      put(session, name, body),
      head(session, 'GET', name),
      head(session, 'DELETE', name),
      head(session, 'GET', name),
      put(session, name, 'again'),
      head(session, 'HEAD', name),
      last,
    ]
    const answers = await sendRaw(server.url, sent.join(''), { quietMs: 30_000 })
    t.same(statuses(answers), [201, 200, 204, 404, 201, 200, 200], `round ${round}`)
    t.ok(answers.includes(body))
  }
})

t.test('a large object is answered before the request that deletes it takes effect', async (t) => {
  const { server, session } = await withContainer(t)
  const body = Buffer.alloc(9 << 20, 'y')
  await session.ask('box/large', { method: 'PUT', body })
  const sent = [
    head(session, 'GET', 'box/large'),
    head(session, 'DELETE', 'box/large'),
    head(session, 'HEAD', 'box/large'),
  ]
  const answers = await sendRaw(server.url, sent.join('') + last, { quietMs: 30_000 })
  t.same(statuses(answers), [200, 204, 404, 200])
  t.ok(answers.length > body.length)
})

t.test('a request that is no HTTP waits for the answers before it, and its own comes whole', async (t) => {
  const { server, session } = await withContainer(t)
  const sent = `${put(session, 'box/o', 'x'.repeat(200_000))}${head(session, 'GET', 'box/o')}nonsense\r\n\r\n`
  const answers = await sendRaw(server.url, sent, { quietMs: 30_000 })
  t.same(statuses(answers), [201, 200, 400])
  t.ok(answers.includes(`${'x'.repeat(200_000)}HTTP/1.1 400`))
})

t.test(
  'more requests than may wait are not answered, and the connection is closed behind the last that is',
  async (t) => {
    const { server } = await withContainer(t)
    const one = 'GET /v3 HTTP/1.1\r\nHost: x\r\n\r\n'
    const answers = await sendRaw(server.url, one.repeat(500), { quietMs: 30_000 })
    const found = statuses(answers)
    t.ok(found.length >= 65 && found.length < 500, `${found.length} answers`)
    t.ok(found.every((status) => status === 200))
    t.match(answers.slice(answers.lastIndexOf('HTTP/1.1')), /connection: close/i)
  },
)

t.test('requests that wait on a connection that ends do not take effect', async (t) => {
  const { server, session } = await withContainer(t)
  await session.ask('box/large', { method: 'PUT', body: Buffer.alloc(32 << 20, 'y') })
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  // The answer to the first is never read, so the second, which comes in the same packet, waits for it.
  socket.write(head(session, 'GET', 'box/large') + put(session, 'box/b', 'never'))
  await once(socket, 'readable')
  socket.resetAndDestroy()
  while (server.counters().openResources > 0) await session.ask('box', { method: 'HEAD' })
  t.equal((await session.ask('box/b', { method: 'HEAD' })).status, 404)
})

import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { parseTrustedProxies } from '../../../src/lib/trusted_proxies.js'
import { issue, makeAuthority } from '../../../testkit/certificates.js'
import { ask } from '../../../testkit/http.js'
import { startServer, type TestServer } from '../../../testkit/server.js'

/** From this loopback address; the others of 127.0.0.0/8 stand for other clients. */
async function open({ url }: TestServer, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const closed = (socket: Socket) => (socket.closed ? Promise.resolve() : once(socket.resume(), 'close'))

const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`

/** One answer; the connection stays open if the server lets it. */
async function answerOf(socket: Socket, request: string): Promise<string> {
  socket.write(request)
  const [bytes] = await once(socket, 'data')
  return String(bytes)
}

/** A connection whose request is being answered until it is destroyed: half of a JSON body. */
async function openBusy(server: TestServer, localAddress?: string): Promise<Socket> {
  const socket = await open(server, localAddress)
  socket.write('POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n')
  const [bytes] = await once(socket, 'data')
  if (!/^HTTP\/1.1 100/.test(String(bytes))) throw new Error(`not asked to go on: ${bytes}`)
  return socket
}

t.test(
  'when all connections are taken, the longest idle one of the client with the most is closed for a new one',
  async (t) => {
    const server = await startServer(t, { limits: { connections: 20, connectionsOfClient: 18 } })
    const other = [await open(server, '127.0.0.3'), await open(server, '127.0.0.3')]
    const flood: Socket[] = []
    for (let i = 0; i < 18; i++) flood.push(await open(server, '127.0.0.2'))
    // The first of the flood becomes the one that was idle last.
    const first = flood.shift() as Socket
    t.match(await answerOf(first, get('/healthcheck')), /^HTTP\/1.1 200/)
    for (let i = 0; i < 5; i++) {
      const fresh = await open(server, `127.0.0.${10 + i}`)
      t.match(await answerOf(fresh, get('/v3')), /^HTTP\/1.1 200/)
      await closed(flood.shift() as Socket)
    }
    for (const socket of [first, ...other, ...flood])
      t.match(await answerOf(socket, get('/healthcheck')), /^HTTP\/1.1 200/, 'others stay open')
  },
)

t.test('one client has its share of the connections, and its own idle ones are closed for its new ones', async (t) => {
  const server = await startServer(t, { limits: { connections: 100, connectionsOfClient: 3 } })
  const other = await open(server, '127.0.0.3')
  const sockets: Socket[] = []
  for (let i = 0; i < 10; i++) sockets.push(await open(server, '127.0.0.2'))
  await Promise.all(sockets.slice(0, 7).map(closed))
  for (const socket of [...sockets.slice(7), other])
    t.match(await answerOf(socket, get('/healthcheck')), /^HTTP\/1.1 200/)
})

t.test('connections of a trusted proxy count in the total only', async (t) => {
  const limits = { connections: 100, connectionsOfClient: 3 }
  const server = await startServer(t, { limits, urls: { trustProxy: parseTrustedProxies('127.0.0.2') } })
  const sockets: Socket[] = []
  for (let i = 0; i < 10; i++) sockets.push(await open(server, '127.0.0.2'))
  for (const socket of sockets) t.match(await answerOf(socket, get('/healthcheck')), /^HTTP\/1.1 200/)
})

t.test(
  'with every connection busy the health is still reported, other requests are 503, and an end makes room',
  async (t) => {
    const server = await startServer(t, { limits: { connections: 6, connectionsOfClient: 4 } })
    const busy = [await openBusy(server, '127.0.0.2'), await openBusy(server, '127.0.0.2')]
    for (let i = 0; i < 4; i++) busy.push(await openBusy(server, '127.0.0.3'))
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) {
      const reserved = await open(server, address)
      const refusal = await answerOf(reserved, get('/v3'))
      t.match(refusal, /^HTTP\/1.1 503[\s\S]*connection: close[\s\S]*all connections of the server are busy/i, address)
      t.match(refusal, /retry-after: \d/i)
      await closed(reserved)
      t.match(await answerOf(await open(server, address), get('/healthcheck')), /^HTTP\/1.1 200[\s\S]*OK$/, address)
    }
    // The reserve is bounded: of one client the oldest goes.
    const reserve: Socket[] = []
    for (let i = 0; i < 6; i++) reserve.push(await open(server, '127.0.0.5'))
    await Promise.all(reserve.slice(0, 2).map(closed))
    t.match(await answerOf(reserve[5] as Socket, get('/healthcheck')), /^HTTP\/1.1 200/)
    busy[0]?.destroy()
    let status = 503
    while (status === 503) {
      status = (await ask(`${server.url}/v3`)).status
      await sleep(5)
    }
    t.equal(status, 200)
  },
)

t.test('a connection of HTTPS with a request is not taken for an idle one', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-connections-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const made = await issue(await makeAuthority(dir, 'authority'), 'server', { dir, name: 'server' })
  const tls = { cert: await readFile(made.certificate, 'utf8'), key: await readFile(made.key, 'utf8') }
  const server = await startServer(t, { limits: { connections: 100, connectionsOfClient: 2 }, tls })
  const secure = async () => {
    const socket = connectTls({ socket: await open(server, '127.0.0.2'), rejectUnauthorized: false })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    return socket
  }
  const busy = await secure()
  const body = '{"auth": {}}'
  busy.write(
    `POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
  )
  await once(busy, 'data')
  const idle = await secure()
  for (let i = 0; i < 3; i++) t.match(await answerOf(await secure(), get('/healthcheck')), /^HTTP\/1.1 200/)
  await closed(idle)
  t.match(await answerOf(busy, body), /^HTTP\/1.1 400/, 'the busy one goes on')
})

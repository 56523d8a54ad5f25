/** Large answers, which go from files to the socket past JavaScript. */

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { Agent, get, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { type Session, startServer, type TestServer, type TestServerOptions } from '../../../testkit/server.js'
import { dataBytes, spaceReturnsTo } from '../../../testkit/space.js'
import { createImage } from '../apis/glance/support.js'

const KiB = 1024
const MiB = 1024 * KiB

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(10)
}

const openResources = (server: TestServer) => server.counters().openResources

interface Teardown {
  teardown(end: () => unknown): unknown
}

/** A server with the container `box`, and what was put there. */
async function startBox(t: Teardown, options: TestServerOptions = {}) {
  const server = await startServer(t, options)
  const session = await server.login()
  await session.ask('box', { method: 'PUT' })
  const put = async (name: string, body: Buffer) => {
    const answer = await session.ask(`box/${name}`, { method: 'PUT', body })
    if (answer.status !== 201) throw new Error(`PUT ${name}: ${answer.status} ${answer.text}`)
    return body
  }
  return { server, session, put }
}

/** A connection on which a GET was sent, and of which nothing is read. */
async function ask(session: Session, path: string): Promise<Socket> {
  const url = new URL(`${session.storageUrl}/${path}`)
  const socket = connect(Number(url.port), url.hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\nConnection: close\r\n\r\n`)
  return socket
}

/** What comes on the connection until it ends, however it does. */
async function rest(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = []
  socket.on('data', (piece) => pieces.push(piece))
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(pieces)
}

const bodyOf = (answer: Buffer) => answer.subarray(answer.indexOf('\r\n\r\n') + 4)
const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

t.test('large objects and ranges of them arrive as they were stored', async (t) => {
  const { session, put } = await startBox(t)
  const holed = randomBytes(17 * MiB + 777)
  holed.fill(0, 3 * MiB, 6 * MiB)
  const bodies = [64 * KiB - 1, 64 * KiB, 64 * KiB + 1, MiB, 4 * MiB - 1, 4 * MiB, 4 * MiB + 5000].map((length) =>
    randomBytes(length),
  )
  for (const [index, body] of [...bodies, holed, Buffer.alloc(5 * MiB)].entries()) {
    await put(`o${index}`, body)
    const whole = await session.ask(`box/o${index}`)
    t.equal(whole.headers['content-length'], String(body.length))
    t.equal(hashOf(whole.body), hashOf(body), `${body.length} bytes`)
    for (const [start, end] of [
      [1, body.length],
      [body.length >> 2, (body.length >> 2) * 3 + 1],
      [0, 300 * KiB],
      [Math.max(body.length - 4 * MiB - 9, 0), body.length - 9],
    ] as const) {
      const part = await session.ask(`box/o${index}`, { headers: { range: `bytes=${start}-${end - 1}` } })
      t.equal(part.status, 206)
      t.equal(hashOf(part.body), hashOf(body.subarray(start, end)), `${start}-${end} of ${body.length}`)
    }
  }
})

t.test('large images arrive as they were stored, and those of a volume as it was', async (t) => {
  const { server, session } = await startBox(t)
  const { core } = server
  const image = await createImage(session)
  const data = randomBytes(9 * MiB + 100)
  const octets = { 'content-type': 'application/octet-stream' }
  await session.ask(`/image/v2/images/${image.id}/file`, { method: 'PUT', headers: octets, body: data })
  const whole = await session.ask(`/image/v2/images/${image.id}/file`)
  t.equal(hashOf(whole.body), hashOf(data))
  const part = await session.ask(`/image/v2/images/${image.id}/file`, { headers: { range: 'bytes=5-6000000' } })
  t.equal(hashOf(part.body), hashOf(data.subarray(5, 6_000_001)))

  // A volume of the image, written to here and there and snapshotted: an image of the snapshot is made of all of them.
  const volumeUrl = `/volume/v3/${session.projectId}`
  const made = await session.ask(`${volumeUrl}/volumes`, {
    method: 'POST',
    json: { volume: { size: 1, imageRef: image.id } },
  })
  const volumeId = made.json.volume.id
  await until(async () => (await session.ask(`${volumeUrl}/volumes/${volumeId}`)).json.volume.status === 'available')
  const { resource_id: resource } = await core.catalog.db
    .selectFrom('volumes')
    .select('resource_id')
    .where('id', '=', volumeId)
    .executeTakeFirstOrThrow()
  const expected = Buffer.concat([data, Buffer.alloc(10 * MiB)])
  const lease = await core.tree.lease(resource)
  for (const [offset, length] of [
    [4096, 8192],
    [2 * MiB, 700 * KiB],
    [8 * MiB + 512, 5000],
  ] as const) {
    const bytes = randomBytes(length)
    await lease.write(offset, bytes)
    bytes.copy(expected, offset)
  }
  await lease.close()
  const ofVolume = await createImage(session)
  await session.ask(`/image/v2/images/${ofVolume.id}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/openstack-images-v2.1-json-patch' },
    json: [{ op: 'add', path: '/locations/-', value: { url: `cinder://volumes/${volumeId}`, metadata: {} } }],
  })
  const answer = await session.ask(`/image/v2/images/${ofVolume.id}/file`, {
    headers: { range: `bytes=0-${expected.length - 1}` },
  })
  t.equal(answer.status, 206)
  t.equal(hashOf(answer.body), hashOf(expected))
})

t.test('the connection goes on after a large answer, and a HEAD has none', async (t) => {
  const { session, put } = await startBox(t)
  const [large, small] = [await put('large', randomBytes(5 * MiB)), await put('small', randomBytes(100))]
  const middle = await put('middle', randomBytes(200 * KiB))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const sockets = new Set<unknown>()
  for (const [method, name, body] of [
    ['GET', 'large', large],
    ['HEAD', 'large', Buffer.alloc(0)],
    ['GET', 'middle', middle],
    ['GET', 'middle', middle],
    ['GET', 'small', small],
    ['GET', 'large', large],
    ['GET', 'absent', undefined],
    ['GET', 'large', large],
  ] as const) {
    const outgoing = request(`${session.storageUrl}/box/${name}`, {
      method,
      agent,
      headers: { 'x-auth-token': session.token },
    }).end()
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    sockets.add(answer.socket)
    const got = Buffer.concat(await answer.toArray())
    if (body === undefined) t.equal(answer.statusCode, 404)
    else t.equal(hashOf(got), hashOf(body), `${method} ${name}`)
  }
  t.equal(sockets.size, 1)
  agent.destroy()
})

t.test('requests that come before the answers are answered in order', async (t) => {
  const { session, put } = await startBox(t)
  const [large, small] = [await put('large', randomBytes(5 * MiB)), await put('small', randomBytes(100))]
  const url = new URL(`${session.storageUrl}/box`)
  const middle = await put('middle', randomBytes(200 * KiB))
  const names = ['middle', 'large', 'middle', 'middle', 'small', 'large', 'large', 'middle', 'small']
  const heads = names.map((name, index) => {
    const last = index === names.length - 1 ? 'Connection: close\r\n' : ''
    return `GET ${url.pathname}/${name} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\n${last}\r\n`
  })
  const socket = connect(Number(url.port), url.hostname)
  socket.write(heads.join(''))
  let answers = await rest(socket)
  for (const name of names) {
    const body = { large, middle, small }[name] ?? Buffer.alloc(0)
    t.match(answers.subarray(0, 20).toString(), /^HTTP\/1.1 200/)
    answers = bodyOf(answers)
    t.ok(answers.subarray(0, body.length).equals(body), name)
    answers = answers.subarray(body.length)
  }
  t.equal(answers.length, 0)
})

t.test(
  'clients that stop reading hold no thread, and are cut off when they have read nothing for a while',
  async (t) => {
    const { server, session, put } = await startBox(t, { limits: { idleMs: 3000 } })
    await put('large', randomBytes(64 * MiB))
    const other = await put('other', randomBytes(2 * MiB))
    // More than all pools and reactors have threads.
    const stopped = await Promise.all(Array.from({ length: 24 }, () => ask(session, 'box/large')))
    await Promise.all(stopped.map((socket) => once(socket, 'readable')))
    const { body } = await session.ask('box/other')
    t.equal(hashOf(body), hashOf(other))
    t.ok(openResources(server) > 0, 'they are still there')
    await until(() => openResources(server) === 0)
    for (const socket of stopped) t.ok((await rest(socket)).length < 64 * MiB)
  },
)

t.test('a client that reads slowly, but for ever, is not cut off', async (t) => {
  const { session, put } = await startBox(t, { limits: { idleMs: 400 } })
  const large = await put('large', randomBytes(24 * MiB))
  const socket = await ask(session, 'box/large')
  const begun = performance.now()
  const pieces: Buffer[] = []
  let lengthBytes = 0
  // Longer than it may stand still, several times over.
  while (performance.now() - begun < 2000) {
    const piece: Buffer | null = socket.read(128 * KiB)
    if (piece === null) await Promise.race([once(socket, 'readable'), sleep(20)])
    else lengthBytes += pieces.push(piece) && piece.length
    await sleep(10)
  }
  socket.on('data', (piece) => {
    lengthBytes += pieces.push(piece) && piece.length
  })
  await until(() => lengthBytes > large.length && bodyOf(Buffer.concat(pieces)).length === large.length)
  socket.destroy()
  t.equal(hashOf(bodyOf(Buffer.concat(pieces))), hashOf(large))
})

t.test('a client that vanishes lets go of the object: it can be deleted, and its space comes back', async (t) => {
  const { server, session, put } = await startBox(t)
  const before = await dataBytes(server.dataDir)
  await put('large', randomBytes(48 * MiB))
  const sockets = await Promise.all(Array.from({ length: 5 }, () => ask(session, 'box/large')))
  await Promise.all(sockets.map((socket) => once(socket, 'readable')))
  await session.ask('box/large', { method: 'DELETE' })
  for (const socket of sockets) socket.resetAndDestroy()
  await until(() => openResources(server) === 0)
  t.equal(await spaceReturnsTo(before, server.dataDir), before)
})

t.test('what is deleted while it is sent arrives whole', async (t) => {
  const { session, put } = await startBox(t)
  const large = await put('large', randomBytes(48 * MiB))
  const socket = await ask(session, 'box/large')
  await once(socket, 'readable')
  t.equal((await session.ask('box/large', { method: 'DELETE' })).status, 204)
  const body = bodyOf(await rest(socket))
  t.equal(body.length, large.length)
  t.equal(hashOf(body), hashOf(large))
})

t.test('a server that closes ends large answers that take too long', async (t) => {
  const { server, session, put } = await startBox(t, { closeGraceMs: 300 })
  await put('large', randomBytes(48 * MiB))
  const socket = await ask(session, 'box/large')
  await once(socket, 'readable')
  await server.close()
  t.ok((await rest(socket)).length < 48 * MiB)
})

t.test('a chunk that is damaged ends the answer short, and the log says which', async (t) => {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line) => lines.push(line) })
  const { server, session, put } = await startBox(t, { log })
  const content = join(server.dataDir, 'store', 'content')
  const chunkFiles = () =>
    readdirSync(content, { recursive: true, encoding: 'utf8' })
      .map((name) => join(content, name))
      .filter((path) => statSync(path).isFile())
  for (const [name, damage, words] of [
    ['missing', (path: string) => rmSync(path), /content [0-9a-f]{64}: not there/],
    ['short', (path: string) => truncateSync(path, 5000), /content [0-9a-f]{64}: has 5000 of its 4194304 bytes/],
  ] as const) {
    const first = randomBytes(4 * MiB)
    const known = new Set(chunkFiles())
    await put(`first-of-${name}`, first)
    const firstChunk = new Set(chunkFiles())
    const second = randomBytes(4 * MiB)
    await put(name, Buffer.concat([first, second]))
    const [path = ''] = chunkFiles().filter((each) => !firstChunk.has(each) && !known.has(each))
    damage(path)
    const body = bodyOf(await rest(await ask(session, `box/${name}`)))
    t.ok(body.equals(first), `${name}: what was good, and no more`)
    await until(() => lines.some((line) => words.test(line)))
    t.ok((await session.ask(`box/first-of-${name}`)).body.equals(first))
  }
  await until(() => openResources(server) === 0)
})

t.test('where the first bytes cannot be had the answer says so, and the connection goes on', async (t) => {
  const { server, session, put } = await startBox(t)
  const content = join(server.dataDir, 'store', 'content')
  const other = await put('other', randomBytes(MiB))
  const known = readdirSync(content, { recursive: true, encoding: 'utf8' })
  await put('lost', randomBytes(MiB))
  for (const name of readdirSync(content, { recursive: true, encoding: 'utf8' })) {
    const path = join(content, name)
    if (!known.includes(name) && statSync(path).isFile()) rmSync(path)
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const sockets = new Set<unknown>()
  for (const name of ['other', 'lost', 'other', 'lost', 'other']) {
    const outgoing = get(`${session.storageUrl}/box/${name}`, { agent, headers: { 'x-auth-token': session.token } })
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    sockets.add(answer.socket)
    const body = Buffer.concat(await answer.toArray())
    t.equal(answer.statusCode, name === 'lost' ? 500 : 200)
    if (name === 'other') t.equal(hashOf(body), hashOf(other))
    else t.match(body.toString(), /Internal Error/)
  }
  t.equal(sockets.size, 1)
  agent.destroy()
  await until(() => openResources(server) === 0)
})

t.test('without a descriptor to spare a large answer goes the other way', async (t) => {
  const { session, put } = await startBox(t)
  const large = await put('large', randomBytes(6 * MiB))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const answerOf = async () => {
    const outgoing = get(`${session.storageUrl}/box/large`, { agent, headers: { 'x-auth-token': session.token } })
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    return Buffer.concat(await answer.toArray())
  }
  t.ok((await answerOf()).equals(large)) // its chunk is open from now on
  // Another process does it: in this one nothing can be started meanwhile.
  const limit = `prlimit --pid ${process.pid} --nofile=`
  const script = `before=$(prlimit --pid ${process.pid} --nofile --noheadings --output=SOFT) || exit
    read go; ${limit}20: && echo low; read go; ${limit}$before: && echo high`
  const other = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const says = async (words: string) => {
    other.stdin.write('go\n')
    const [answer] = await once(other.stdout, 'data')
    t.equal(String(answer).trim(), words)
  }
  await says('low') // fewer than are open
  const body = await answerOf()
  await says('high')
  t.ok(body.equals(large))
  agent.destroy()
})

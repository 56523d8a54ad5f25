import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { sendRaw } from '../../../../testkit/http.js'
import { startServer, type TestServer } from '../../../../testkit/server.js'

const MiB = 1024 * 1024

/** Asks again until it is so; fails by the test's own time limit. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(20)
}

const openResources = (server: TestServer) => server.counters().openResources

t.test('transfers', async (t) => {
  const server = await startServer(t, { limits: { idleMs: 1500 } })
  const session = await server.login()
  const { ask } = session
  const box = new URL(`${session.storageUrl}/box`)
  await ask('box', { method: 'PUT' })

  /** The head of a request by hand. */
  const head = (method: string, path: string, headers: string[]) =>
    [`${method} ${box.pathname}${path} HTTP/1.1`, 'Host: x', `X-Auth-Token: ${session.token}`, ...headers, '', ''].join(
      '\r\n',
    )

  t.test('a client that disconnects in the middle of an upload leaves nothing', async (t) => {
    await ask('box/kept', { method: 'PUT', body: 'old' })
    const layers = await server.layers()
    for (const transfer of ['Content-Length: 20000000', 'Transfer-Encoding: chunked']) {
      const socket = connect(Number(box.port), box.hostname)
      await once(socket, 'connect')
      socket.write(head('PUT', '/kept', [transfer]))
      const bytes = randomBytes(6 * MiB)
      if (transfer.startsWith('Transfer')) socket.write(`${bytes.length.toString(16)}\r\n`)
      const before = server.counters().contentBytesWritten
      socket.write(bytes)
      await until(() => server.counters().contentBytesWritten > before)
      socket.destroy()
    }
    await until(async () => (await server.layers()) === layers)
    t.equal((await ask('box/kept')).text, 'old')
  })

  t.test('a chunked upload that ends in nonsense leaves nothing', async (t) => {
    const answer = await sendRaw(
      session.storageUrl,
      `${head('PUT', '/bad', ['Transfer-Encoding: chunked'])}5\r\nhello\r\nzz\r\n`,
    )
    t.notMatch(answer, /^HTTP\/1.1 2/)
    t.equal((await ask('box/bad')).status, 404)
  })

  t.test('a sender that stops is cut off, and leaves nothing', async (t) => {
    const layers = await server.layers()
    const answer = await sendRaw(session.storageUrl, `${head('PUT', '/slow', ['Content-Length: 100'])}half`, {
      quietMs: 10_000,
    })
    t.notMatch(answer, /^HTTP\/1.1 2/)
    await until(async () => (await server.layers()) === layers)
    t.equal((await ask('box/slow')).status, 404)
  })

  t.test('a reader that stops is cut off, and the object is closed', async (t) => {
    await ask('box/big', { method: 'PUT', body: randomBytes(40 * MiB) })
    const socket = connect(Number(box.port), box.hostname)
    socket.write(head('GET', '/big', []))
    await once(socket, 'readable')
    await until(() => openResources(server) === 1)
    await until(() => openResources(server) === 0)
    socket.destroy()
    t.pass()
  })

  t.test('a reader that disconnects gives the object back', async (t) => {
    for (let i = 0; i < 5; i++) {
      const outgoing = request(`${box}/big`, { headers: { 'x-auth-token': session.token } })
      outgoing.end()
      const [answer] = await once(outgoing, 'response')
      await once(answer, 'readable')
      outgoing.destroy()
    }
    await until(() => openResources(server) === 0)
    t.pass()
  })

  t.test('an object that is deleted or replaced while it is read is read to its end', async (t) => {
    const bytes = randomBytes(30 * MiB)
    for (const change of ['DELETE', 'PUT'] as const) {
      await ask('box/read', { method: 'PUT', body: bytes })
      const outgoing = request(`${box}/read`, { headers: { 'x-auth-token': session.token } })
      outgoing.end()
      const [answer] = await once(outgoing, 'response')
      t.ok([201, 204].includes((await ask('box/read', { method: change, body: '' })).status))
      const digest = createHash('sha256')
      for await (const chunk of answer) digest.update(chunk)
      t.equal(digest.digest('hex'), createHash('sha256').update(bytes).digest('hex'), change)
    }
    await until(() => openResources(server) === 0)
  })

  t.test('an upload larger than memory should hold goes through with little memory', async (t) => {
    const piece = randomBytes(1 * MiB)
    const pieces = 512
    const before = process.memoryUsage.rss()
    let peak = 0
    const body = Readable.from(
      (async function* () {
        for (let i = 0; i < pieces; i++) {
          piece.writeUInt32BE(i, 0)
          peak = Math.max(peak, process.memoryUsage.rss())
          yield Buffer.from(piece)
        }
      })(),
      { highWaterMark: 2 },
    )
    const put = await ask('box/huge', { method: 'PUT', body })
    t.equal(put.status, 201)
    t.equal((await ask('box/huge', { method: 'HEAD' })).headers['content-length'], String(pieces * MiB))
    t.ok(peak - before < 300 * MiB, `${Math.round((peak - before) / MiB)} MiB more at the peak`)
  })

  t.test('Expect: 100-continue is answered before the body, and a refusal instead of it', async (t) => {
    const expects = ['Expect: 100-continue', 'Content-Length: 5']
    const socket = connect(Number(box.port), box.hostname)
    socket.write(head('PUT', '/expect', expects))
    const [first] = await once(socket, 'data')
    t.match(String(first), /^HTTP\/1.1 100 Continue/)
    socket.write('hello')
    const [second] = await once(socket, 'data')
    t.match(String(second), /^HTTP\/1.1 201/)
    socket.destroy()
    const refused = await sendRaw(
      session.storageUrl,
      head('PUT', '/../absent/expect', expects).replace('/box/../', '/'),
    )
    t.match(refused, /^HTTP\/1.1 404/)
    t.match(refused, /connection: close/i)
    const anonymous = head('PUT', '/x', expects).replace(/X-Auth-Token: .*\r\n/, '')
    t.match(await sendRaw(session.storageUrl, anonymous), /^HTTP\/1.1 401/)
  })

  t.test('a PUT without a length and not chunked is 411', async (t) => {
    const answer = await sendRaw(session.storageUrl, head('PUT', '/x', []))
    t.match(answer, /^HTTP\/1.1 411/)
    t.match(answer, /Missing Content-Length header\.$/)
  })

  t.test('an answer that comes before the body is read does not lose the connection', async (t) => {
    const url = `${session.storageUrl}/absent/o`
    const answer = await ask(new URL(url).pathname, { method: 'PUT', body: randomBytes(3 * MiB) })
    t.equal(answer.status, 404)
  })

  t.test('several requests on one connection are answered in order', async (t) => {
    const requests = ['/kept', '/absent', '/kept'].map((path) => head('GET', path, [])).join('')
    const answer = await sendRaw(session.storageUrl, requests)
    t.same(
      [...answer.matchAll(/HTTP\/1.1 (\d{3})/g)].map(([, status]) => status),
      ['200', '404', '200'],
    )
  })

  t.test('headers beyond the bound are refused', async (t) => {
    const answer = await sendRaw(session.storageUrl, head('GET', '/kept', [`X-Filler: ${'x'.repeat(40_000)}`]))
    t.match(answer, /^HTTP\/1.1 431/)
  })

  t.test('two uploads to one name at once leave one of them whole', async (t) => {
    const bodies = Array.from({ length: 6 }, () => randomBytes(5 * MiB))
    const answers = await Promise.all(bodies.map((body) => ask('box/race', { method: 'PUT', body })))
    t.ok(answers.every(({ status }) => status === 201))
    const got = await ask('box/race')
    t.ok(bodies.some((body) => body.equals(got.body)))
    t.equal((await ask('box?format=json&prefix=race')).json.length, 1)
  })
})

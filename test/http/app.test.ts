import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { pino } from 'pino'
import t from 'tap'
import { parseTrustedProxies } from '../../src/lib/trusted_proxies.js'
import { ask, sendRaw } from '../../testkit/http.js'
import { startServer } from '../../testkit/server.js'

const MiB = 1024 * 1024

t.test('a client that does not finish its headers is cut off, and one that says nothing', async (t) => {
  const server = await startServer(t, { headersMs: 400 })
  for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ', '']) {
    const answer = await sendRaw(server.url, bytes, { quietMs: 30_000 })
    t.notMatch(answer, /HTTP\/1.1 [23]/, JSON.stringify(bytes))
  }
})

t.test('a body of JSON that never ends is cut off, and one that is too long refused', async (t) => {
  const server = await startServer(t, { limits: { idleMs: 400 } })
  const head = 'POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"auth": '
  t.notMatch(await sendRaw(server.url, head, { quietMs: 30_000 }), /HTTP\/1.1 [23]/)
  const long = 'POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n'
  t.match(await sendRaw(server.url, long), /HTTP\/1.1 413/)
})

t.test(
  'a body that is refused half-way is read to its end, and the next request on the connection is answered',
  async (t) => {
    const server = await startServer(t)
    const body = Buffer.alloc(3 * MiB, '[') // of JSON: a part of it is too long
    const first = `POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`
    const next = '\r\n0\r\n\r\nGET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const sent = Buffer.concat([Buffer.from(first), body, Buffer.from(next)])
    const answer = await sendRaw(server.url, sent, { quietMs: 20_000 })
    t.match(answer, /^HTTP\/1.1 413[\s\S]*HTTP\/1.1 200/)
  },
)

t.test('requests that are no HTTP are 400', async (t) => {
  const server = await startServer(t)
  for (const bytes of [
    'nonsense\r\n\r\n',
    'GET / HTTP/1.1\r\nBad Header: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
    'PUT /v1/a/b/c HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n',
  ]) {
    t.match(await sendRaw(server.url, bytes), /^HTTP\/1.1 400/, JSON.stringify(bytes))
  }
})

t.test('paths that cannot be decoded are refused, and nothing falls over', async (t) => {
  const server = await startServer(t)
  for (const path of ['/v3/%zz', '/v3/%ff', '/image/v2/images/%', '/%', '/v1/%ff', '/volume/v3/%c0%80/volumes']) {
    const { status } = await ask(`${server.url}${path}`)
    t.ok(status >= 400 && status < 500, `${path}: ${status}`)
  }
  t.equal((await ask(`${server.url}/healthcheck`)).text, 'OK')
})

t.test('bodyless requests may carry any Content-Type', async (t) => {
  const server = await startServer(t)
  const { token } = await server.login()
  for (const type of ['application/octet-stream', 'nonsense', 'application/json', '']) {
    const headers = { 'x-auth-token': token, 'content-type': type }
    t.equal((await ask(`${server.url}/v3/auth/projects`, { headers })).status, 200)
    t.equal((await ask(`${server.url}/v3/users/absent`, { method: 'DELETE', headers })).status, 404)
  }
})

t.test('the log tells of every request, and none of its secrets', async (t) => {
  const lines: string[] = []
  const server = await startServer(t, { log: pino({ level: 'trace' }, { write: (line) => lines.push(line) }) })
  const { token, userId } = await server.login()
  const answer = await ask(`${server.url}/v3/auth/projects?name=secret-query`, { headers: { 'x-auth-token': token } })
  const line = lines.map((text) => JSON.parse(text)).find(({ path }) => path === '/v3/auth/projects')
  t.match(line, {
    method: 'GET',
    status: 200,
    user: userId,
    reqId: answer.headers['x-openstack-request-id'],
    from: '127.0.0.1',
  })
  const all = lines.join('')
  for (const secret of [token, server.admin.password, 'secret-query']) t.notOk(all.includes(secret))
})

t.test('a public URL is what links and catalogs begin with', async (t) => {
  const server = await startServer(t, { urls: { publicUrl: 'https://cloud.example.org/storage/' } })
  const [version] = (await ask(`${server.url}/`)).json.versions.values
  t.equal(version.links[0].href, 'https://cloud.example.org/storage/v3/')
})

t.test('what a proxy says is believed only of a trusted one, and of several values the last', async (t) => {
  const headers = { 'x-forwarded-proto': 'http, https', 'x-forwarded-host': 'evil.example, cloud.example.org' }
  const href = async (proxies?: unknown) => {
    const server = await startServer(t, {
      urls: proxies === undefined ? {} : { trustProxy: parseTrustedProxies(proxies) },
    })
    return (await ask(`${server.url}/`, { headers })).json.versions.values[0].links[0].href
  }
  t.match(await href(), /^http:\/\/127/)
  t.match(await href('10.0.0.7'), /^http:\/\/127/)
  t.equal(await href('loopback'), 'https://cloud.example.org/v3/')
  t.equal(await href(1), 'https://cloud.example.org/v3/')
})

t.test(
  'failed logins count for the address that the trusted proxy appended, whatever the client sent before it',
  async (t) => {
    for (const [proxies, counted] of [
      ['loopback', '9.9.9.9'],
      [2, '8.8.8.8'],
      ['10.0.0.7', '127.0.0.1'],
    ] as const) {
      const lines: { msg?: string; from?: string; status?: number }[] = []
      const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) })
      const server = await startServer(t, { log, urls: { trustProxy: parseTrustedProxies(proxies) } })
      const user = { name: 'admin', domain: { id: 'default' }, password: 'wrong' }
      const json = { auth: { identity: { methods: ['password'], password: { user } } } }
      const attempt = (i: number) => {
        const headers = { 'x-forwarded-for': `1.2.3.${i}, 8.8.8.8, 9.9.9.9` }
        return ask(`${server.url}/v3/auth/tokens`, { method: 'POST', json, headers })
      }
      const statuses = (await Promise.all(Array.from({ length: 14 }, (_, i) => attempt(i)))).map(({ status }) => status)
      t.same(statuses.sort(), [...Array(10).fill(401), ...Array(4).fill(429)], `${proxies}`)
      const from = new Set(lines.filter(({ status }) => status === 401).map((line) => line.from))
      t.same([...from], [counted], `${proxies}`)
    }
  },
)

t.test('closing lets answers under way finish, and takes no more requests', async (t) => {
  const server = await startServer(t, { closeGraceMs: 20_000 })
  const { ask: asAdmin, token, storageUrl } = await server.login()
  await asAdmin('box', { method: 'PUT' })
  await asAdmin('box/big', { method: 'PUT', body: Buffer.alloc(40 * MiB, 'x') })
  const outgoing = request(`${storageUrl}/box/big`, { headers: { 'x-auth-token': token } })
  outgoing.end()
  const [answer] = await once(outgoing, 'response')
  const closed = server.close()
  let lengthBytes = 0
  for await (const chunk of answer) lengthBytes += chunk.length
  t.equal(lengthBytes, 40 * MiB)
  await closed
  await t.rejects(ask(`${server.url}/healthcheck`))
})

t.test('closing does not wait for ever for a client that stands still', async (t) => {
  const server = await startServer(t, { closeGraceMs: 300 })
  const { ask: asAdmin, token, storageUrl } = await server.login()
  await asAdmin('box', { method: 'PUT' })
  const { hostname, port, pathname } = new URL(storageUrl)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.write(`PUT ${pathname}/box/o HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${token}\r\nContent-Length: 100\r\n\r\nhalf`)
  await once(socket, 'ready')
  await ask(`${server.url}/healthcheck`)
  await server.close()
  await ended
  t.pass()
})

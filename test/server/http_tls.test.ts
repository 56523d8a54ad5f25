// HTTPS by Node's own TLS: judged settings, the files while the server runs, and what clients see of it.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TLSSocket } from 'node:tls'
import { execa } from 'execa'
import t from 'tap'
import { judgeHttp } from '../../src/server/http_tls.js'
import { type Given, resolveSettings } from '../../src/server/settings/settings.js'
import { type Authority, issue, makeAuthority } from '../../testkit/certificates.js'
import { adminOf, atoll, program } from '../../testkit/server_process.js'

t.setTimeout(120_000)

function judged(given: Given): string[] {
  try {
    return judgeHttp(resolveSettings(given, {}, undefined))
  } catch (error) {
    return [`refused: ${(error as Error).message}`]
  }
}

const files = { 'http-tls-cert': 'c.pem', 'http-tls-key': 'k.pem' }

t.test(
  'settings of HTTPS that make no sense are refused, and those that put secrets at risk are a warning',
  async (t) => {
    const cases: [Given, RegExp | undefined][] = [
      [{}, undefined],
      [files, undefined],
      [{ ...files, http: '0.0.0.0:8780' }, undefined],
      [{ http: 'none' }, undefined],
      [{ ...files, 'public-url': 'https://cloud.example.org' }, undefined],
      [{ 'http-tls-cert': 'c.pem' }, /^refused: --http-tls-cert: needs --http-tls-key/],
      [{ 'http-tls-key': 'k.pem' }, /^refused: --http-tls-key: needs --http-tls-cert/],
      [{ ...files, http: 'none' }, /^refused: --http-tls-cert: has no use/],
      [{ http: '0.0.0.0:8780' }, /^HTTP listens on 0\.0\.0\.0:8780 without TLS.*--http-tls-cert/],
      [{ http: '[::]:8780' }, /^HTTP listens on \[::\]:8780 without TLS/],
      [{ http: 'storage.example.org:8780' }, /without TLS/],
      [{ ...files, 'public-url': 'http://cloud.example.org' }, /is not https/],
    ]
    for (const [given, words] of cases) {
      const said = judged(given)
      if (words === undefined) t.same(said, [], JSON.stringify(given))
      else t.match(said, [words], JSON.stringify(given))
    }
  },
)

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'atoll-https-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

interface Answer {
  status: number
  body: Buffer
  subject: string
}

/** Over a connection of its own. */
function get(authority: Authority, url: string, options: { method?: string; headers?: object; body?: Buffer } = {}) {
  const { body, method = 'GET', headers = {} } = options
  return new Promise<Answer & { token: string }>((resolve, reject) => {
    const ca = readFileSync(authority.certificate)
    const sent = request(url, { method, ca, agent: false, headers: headers as Record<string, string> }, (response) => {
      const pieces: Buffer[] = []
      const subject = (response.socket as TLSSocket).getPeerCertificate().subject.CN
      response.on('data', (piece) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(pieces),
          subject: String(subject),
          token: String(response.headers['x-subject-token'] ?? ''),
        }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

t.test('the APIs over HTTPS: a session, large transfers, and new files without a restart', async (t) => {
  const dir = scratch()
  const authority = await makeAuthority(dir, 'authority')
  const first = await issue(authority, 'server', { dir: join(dir, 'first'), name: 'first' })
  const second = await issue(authority, 'server', { dir: join(dir, 'second'), name: 'second' })
  const cert = join(dir, 'cert.pem')
  const key = join(dir, 'key.pem')
  const useFiles = (made: typeof first) => {
    copyFileSync(made.certificate, cert)
    copyFileSync(made.key, key)
  }
  useFiles(first)
  const data = join(dir, 'data')
  const server = execa(
    process.execPath,
    [program, 'serve', '--data', data, '--http', '127.0.0.1:0', '--nbd', `unix:${join(dir, 'nbd.sock')}`].concat([
      '--http-tls-cert',
      cert,
      '--http-tls-key',
      key,
      '--log',
      'json',
    ]),
    { reject: false, buffer: false },
  )
  t.teardown(() => server.kill('SIGKILL'))
  const lines = createInterface(server.stdout)[Symbol.asyncIterator]()
  const says = async (words: RegExp): Promise<Record<string, unknown>> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`it ended without saying ${words}`)
      if (words.test(value)) return JSON.parse(value)
    }
  }
  const { http } = await says(/"msg":"serving"/)
  const base = `https://${http}`

  const { OS_AUTH_URL: authUrl, OS_PASSWORD: password } = await adminOf(data)
  t.equal(authUrl, `${base}/v3`, 'the first administrator is sent to HTTPS')
  const login = await get(authority, `${authUrl}/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(
      JSON.stringify({
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: 'admin', domain: { id: 'default' }, password } },
          },
          scope: { project: { name: 'admin', domain: { id: 'default' } } },
        },
      }),
    ),
  })
  t.equal(login.status, 201)
  t.equal(login.subject, 'first of authority')
  const { token: issued } = JSON.parse(login.body.toString())
  const urls = issued.catalog.flatMap((one: { endpoints: { url: string }[] }) => one.endpoints.map(({ url }) => url))
  t.ok(urls.length > 0)
  for (const url of urls) t.ok(url.startsWith(base), `the catalog names HTTPS: ${url}`)

  const headers = { 'x-auth-token': login.token }
  const account = urls.find((url: string) => url.includes('/v1/'))
  const large = Buffer.alloc(3 << 20, 'Atoll ')
  t.equal((await get(authority, `${account}/things`, { method: 'PUT', headers })).status, 201)
  t.equal((await get(authority, `${account}/things/large`, { method: 'PUT', headers, body: large })).status, 201)
  t.ok((await get(authority, `${account}/things/large`, { headers })).body.equals(large), 'the bytes come back')

  const status = await atoll('status', '--data', data)
  t.match(status.stdout, /HTTP +127\.0\.0\.1:\d+ \(TLS\)\n +TLS +certificate CN=first of authority, valid to/)

  useFiles(second)
  await says(/TLS for HTTP: new connections use the new files/)
  while ((await get(authority, `${base}/healthcheck`)).subject !== 'second of authority')
    await says(/new connections use the new files/)

  writeFileSync(cert, 'no certificate')
  server.kill('SIGHUP')
  await says(/TLS for HTTP: the new files cannot be used; the old ones go on/)
  t.equal((await get(authority, `${base}/healthcheck`)).subject, 'second of authority')
  t.match(
    (await atoll('status', '--data', data)).stdout,
    /TLS +the new files are not in use: TLS for HTTP: .*cert\.pem/,
  )

  server.kill('SIGTERM')
  t.match(await server, { exitCode: 0 })
})

t.test('files of HTTPS that cannot be used keep the server from starting', async (t) => {
  const dir = scratch()
  const authority = await makeAuthority(dir, 'authority')
  const one = await issue(authority, 'server', { dir, name: 'one' })
  const other = await issue(authority, 'server', { dir, name: 'other' })
  const cases: [string, string, RegExp][] = [
    [join(dir, 'missing'), one.key, /^atoll: TLS for HTTP: .*missing: ENOENT/],
    [one.certificate, other.key, /^atoll: TLS for HTTP: .*key values mismatch/],
    [one.key, one.key, /^atoll: TLS for HTTP: /],
  ]
  for (const [cert, key, words] of cases) {
    const { exitCode, stderr } = await atoll(
      ...['serve', '--data', join(dir, 'data'), '--http', '127.0.0.1:0', '--nbd', `unix:${join(dir, 'nbd.sock')}`],
      ...['--http-tls-cert', cert, '--http-tls-key', key, '--log-level', 'silent'],
    )
    t.equal(exitCode, 1, cert)
    t.match(stderr, words)
  }
})

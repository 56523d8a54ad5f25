// What HTTP/1.1 itself refuses is refused in the form of the API that the path belongs to.

import t from 'tap'
import { ask, sendRaw } from '../../../testkit/http.js'
import { startServer } from '../../../testkit/server.js'

/** A path of each API, and what every error of it looks like. */
const apis = [
  { name: 'identity', path: '/v3/users', form: /"error":\{"code":\d+,"title":".+","message":".+"\}/ },
  { name: 'object storage', path: '/v1/AUTH_x/box/o', form: /<html><h1>.+<\/h1><p>.+<\/p><\/html>|text\/plain/ },
  { name: 'images', path: '/image/v2/images', form: /<h1>\d{3} .+<\/h1>/ },
  { name: 'block storage', path: '/volume/v3/volumes', form: /\{"[a-zA-Z]+":\{"code":\d+,"message":".+"\}\}/ },
  { name: 'no API', path: '/nowhere', form: /"error":\{"code":\d+,"title":".+","message":".+"\}/ },
]

const server = await startServer(t, { headersMs: 600 })
const { token, ask: asAdmin } = await server.login()
const auth = `X-Auth-Token: ${token}\r\n`

for (const { name, path, form } of apis) {
  const refused = async (bytes: string, status: number, what: string) => {
    const answer = await sendRaw(server.url, bytes, { quietMs: 20_000 })
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), `${name}: ${what}: ${answer.slice(0, 60)}`)
    t.match(answer, form, `${name}: ${what} in its form`)
    t.match(answer, /connection: close/i, `${name}: ${what} ends the connection`)
  }

  t.test(`${name}: what is no valid request is refused in the form of the API`, async () => {
    await refused(`GET ${path} HTTP/1.1\r\nBad Header: x\r\n\r\n`, 400, 'a header that is none')
    await refused(`GET ${path} HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`, 431, 'headers too long')
    const one = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
    const answers = await sendRaw(server.url, `${one}GET ${path} HTTP/1.1\r\nHost: x\r\nX-Sl`, { quietMs: 20_000 })
    const late = answers.slice(answers.lastIndexOf('HTTP/1.1 '))
    t.match(late, /^HTTP\/1\.1 408 /, `${name}: headers that do not end`)
    t.match(late, form, `${name}: headers that do not end, in its form`)
    await refused(`FROBNICATE ${path} HTTP/1.1\r\nHost: x\r\n\r\n`, 405, 'a method that nobody knows')
    await refused(`GET ${path} HTTP/1.1\r\n\r\n`, 400, 'no Host')
    await refused(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: a miracle\r\n\r\n`, 417, 'Expect')
  })

  t.test(`${name}: a transfer encoding other than chunked is 501 and nothing is stored`, async () => {
    for (const coding of ['gzip, chunked', 'gzip', 'identity', 'chunked, chunked', 'x, chunked']) {
      const bytes = `PUT ${path} HTTP/1.1\r\nHost: x\r\n${auth}Transfer-Encoding: ${coding}\r\n\r\n1\r\nx\r\n0\r\n\r\n`
      await refused(bytes, 501, coding)
    }
  })

  if (name !== 'no API')
    t.test(`${name}: a query that is not percent-encoded UTF-8 is 400`, async (t) => {
      for (const query of ['a=%ff', '%c0%80=a', 'name=%']) {
        const answer = await ask(`${server.url}${path}?${query}`, { headers: { 'x-auth-token': token } })
        t.equal(answer.status, 400, query)
        t.match(`${answer.headers['content-type']} ${answer.text}`, form)
      }
    })
}

t.test('an object that is sent in another transfer encoding is not there afterwards', async (t) => {
  await asAdmin('box', { method: 'PUT' })
  const { projectId } = await server.login()
  const path = `/v1/AUTH_${projectId}/box/o`
  const body = 'Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n'
  t.match(await sendRaw(server.url, `PUT ${path} HTTP/1.1\r\nHost: x\r\n${auth}${body}`), /^HTTP\/1\.1 501/)
  t.equal((await asAdmin('box/o', { method: 'HEAD' })).status, 404)
  t.match(
    await sendRaw(
      server.url,
      `PUT ${path} HTTP/1.0\r\nHost: x\r\n${auth}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
    ),
    /^HTTP\/1\.1 501/,
  )
  t.equal((await asAdmin('box/o', { method: 'HEAD' })).status, 404)
})

t.test('a method that a path is not served by is 405 with those that it is, in the form of its API', async (t) => {
  for (const { name, path, form } of apis.slice(0, 4))
    for (const method of [
      'PROPFIND',
      'LOCK',
      'TRACE',
      'SEARCH',
      // Object storage answers OPTIONS, for CORS.
      ...(name === 'object storage' ? ['PATCH'] : ['COPY', 'OPTIONS']),
    ]) {
      const answer = await ask(`${server.url}${path}`, { method, headers: { 'x-auth-token': token } })
      t.equal(answer.status, 405, `${method} ${path}`)
      t.match(answer.headers.allow, /GET/, `${method} ${path}`)
      t.match(`${answer.headers['content-type']} ${answer.text}`, form, `${method} ${path}`)
    }
  t.match(await sendRaw(server.url, 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n'), /^HTTP\/1\.1 405 /)
})

t.test('a path that is none is 404 in the form of the API that it would belong to', async (t) => {
  for (const [path, form] of [
    ['/v3/nothing', apis[0]?.form],
    ['/auth/nothing', /<html>/],
    ['/info/nothing', /<html>/],
    ['/image/v2/nothing', apis[2]?.form],
    ['/image/nothing', apis[2]?.form],
    ['/volume/v3/nothing', apis[3]?.form],
    ['/volume/nothing', apis[3]?.form],
    ['/nothing', apis[0]?.form],
  ] as const) {
    const answer = await ask(`${server.url}${path}`, { headers: { 'x-auth-token': token } })
    t.equal(answer.status, 404, path)
    t.match(answer.text, form, path)
  }
  const asked = await ask(`${server.url}/image/v2/nothing`, { headers: { accept: 'application/json' } })
  t.match(asked.json, { code: '404 Not Found' })
})

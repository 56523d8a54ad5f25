import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

t.test('static web sites', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const put = (path: string, body: string, headers = {}) => owner.ask(path, { method: 'PUT', body, headers })
  const url = (path: string) => `${owner.storageUrl}/site${path}`
  await owner.ask('site', { method: 'PUT', headers: { 'x-container-read': '.r:*,.rlistings' } })
  await put('site/index.html', 'home')
  await put('site/404error.html', 'lost')
  await put('site/sub/index.html', 'sub')
  await put('site/files/a"b&<.txt', 'x')
  await put('site/marker', '', { 'content-type': 'application/directory' })
  const set = (headers: Record<string, string>) => owner.ask('site', { method: 'POST', headers })

  t.test('without settings a container is listed as ever', async (t) => {
    t.match(await ask(url('')), { status: 200, text: /^404error.html\n/ })
  })

  t.test('index pages, redirects to folders, and the page of an error', async (t) => {
    await set({ 'x-container-meta-web-index': 'index.html', 'x-container-meta-web-error': 'error.html' })
    t.match(await ask(url('/')), { status: 200, text: 'home' })
    t.match(await ask(url('/sub/')), { status: 200, text: 'sub' })
    t.match(await ask(url('')), { status: 301, headers: { location: url('/') } })
    t.match(await ask(url('/sub')), { status: 301, headers: { location: url('/sub/') } })
    t.match(await ask(url('/absent')), { status: 404, text: 'lost' })
    t.match(await ask(url('/marker')), { status: 404, text: 'lost' })
    t.match(await ask(url('/files/')), { status: 404, text: /Web Listing Disabled/ })
  })

  t.test('listings as HTML, in which names are escaped', async (t) => {
    await set({ 'x-container-meta-web-listings': 'true', 'x-container-meta-web-listings-css': 'style.css' })
    const { status, text, headers } = await ask(url('/files/'))
    t.equal(status, 200)
    t.match(headers['content-type'], /^text\/html/)
    t.match(text, /href="a%22b%26%3C.txt">a&quot;b&amp;&lt;.txt<\/a>/)
    t.match(text, /href="..\/style.css"/)
    t.match(text, /Listing of \/v1\/AUTH_[0-9a-f]+\/site\/files\//)
  })

  t.test('with a token only by X-Web-Mode', async (t) => {
    t.match(await owner.ask('site'), { status: 200, text: /^404error.html\n/ })
    t.match(await owner.ask('site/', { headers: { 'x-web-mode': 'true' } }), { status: 200, text: 'home' })
  })

  t.test('a site that is not public is 401', async (t) => {
    await set({ 'x-container-read': '' })
    t.equal((await ask(url('/'))).status, 401)
    t.equal((await ask(url('/index.html'))).status, 401)
  })
})

t.test('pages of other origins', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const headers = {
    'x-container-meta-access-control-allow-origin': 'http://one.example http://two.example',
    'x-container-meta-access-control-max-age': '5',
    'x-container-meta-access-control-expose-headers': 'X-Other',
  }
  await owner.ask('box', { method: 'PUT', headers })
  await owner.ask('box/o', { method: 'PUT', body: 'x', headers: { 'x-object-meta-color': 'red' } })
  const preflight = (path: string, origin: string, method = 'PUT') =>
    ask(`${owner.storageUrl}${path}`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': method,
        'access-control-request-headers': 'x-auth-token, x-a',
      },
    })

  t.test('a preflight request of an allowed origin needs no token, one of another is 401', async (t) => {
    t.match(await preflight('/box/o', 'http://two.example'), {
      status: 200,
      headers: {
        'access-control-allow-origin': 'http://two.example',
        'access-control-allow-methods': /PUT/,
        'access-control-allow-headers': 'x-auth-token, x-a',
        'access-control-max-age': '5',
        vary: /Origin/,
      },
    })
    t.equal((await preflight('/box/o', 'http://evil.example')).status, 401)
    t.equal((await preflight('/absent/o', 'http://two.example')).status, 401)
    t.equal((await preflight('/box/o', 'http://two.example', 'PATCH')).status, 401)
    t.match(await ask(`${owner.storageUrl}/box/o`, { method: 'OPTIONS' }), { status: 200, headers: { allow: /COPY/ } })
  })

  t.test('responses to an allowed origin say so, also refusals', async (t) => {
    const from = (origin: string, token = owner.token) =>
      ask(`${owner.storageUrl}/box/o`, { headers: { origin, 'x-auth-token': token } })
    t.match((await from('http://one.example')).headers, {
      'access-control-allow-origin': 'http://one.example',
      'access-control-expose-headers': /etag.*x-object-meta-color.*x-other/,
    })
    t.match(await from('http://one.example', 'nonsense'), {
      status: 401,
      headers: { 'access-control-allow-origin': 'http://one.example' },
    })
    t.equal((await from('http://evil.example')).headers['access-control-allow-origin'], undefined)
  })

  t.test('/crossdomain.xml', async (t) => {
    t.match(await ask(`${server.url}/crossdomain.xml`), { status: 200, text: /cross-domain-policy/ })
  })
})

import { createHmac } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

const soon = () => Math.floor(Date.now() / 1000) + 600

t.test('signed URLs', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const account = `AUTH_${owner.projectId}`
  await owner.ask('', { method: 'POST', headers: { 'x-account-meta-temp-url-key': 'one' } })
  const containerKeys = { 'x-container-meta-temp-url-key': 'two', 'x-container-meta-temp-url-key-2': 'three' }
  await owner.ask('box', { method: 'PUT', headers: containerKeys })
  await owner.ask('box/dir/o', {
    method: 'PUT',
    body: 'hello',
    headers: { 'x-object-meta-secret': 's', 'x-object-meta-public-a': 'p' },
  })
  await owner.ask('other', { method: 'PUT' })
  await owner.ask('other/o', { method: 'PUT', body: 'x' })

  interface Signed {
    method?: string
    path?: string
    key?: string
    digest?: string
    expires?: number | string
    extra?: string
    ip?: string
  }
  const signed = ({
    method = 'GET',
    path = 'box/dir/o',
    key = 'one',
    digest = 'sha256',
    expires = soon(),
    extra = '',
    ip,
  }: Signed) => {
    const message = `${ip === undefined ? '' : `ip=${ip}\n`}${method}\n${expires}\n/v1/${account}/${path}`
    const signature = createHmac(digest, key).update(message).digest('hex')
    return `${owner.storageUrl}/${path}?temp_url_sig=${signature}&temp_url_expires=${expires}${extra}`
  }

  t.test('the keys of the account and of the container, each digest, GET and HEAD', async (t) => {
    for (const key of ['one', 'two', 'three']) {
      for (const digest of ['sha1', 'sha256', 'sha512']) {
        t.equal((await ask(signed({ key, digest }))).text, 'hello', `${key} ${digest}`)
      }
    }
    t.equal((await ask(signed({}), { method: 'HEAD' })).status, 200)
    t.equal((await ask(signed({ method: 'PUT' }), { method: 'HEAD' })).status, 200)
    const expires = soon()
    const digest = createHmac('sha512', 'one').update(`GET\n${expires}\n/v1/${account}/box/dir/o`).digest('base64url')
    t.equal(
      (await ask(`${owner.storageUrl}/box/dir/o?temp_url_sig=sha512:${digest}&temp_url_expires=${expires}`)).status,
      200,
    )
  })

  t.test('anything else than what was signed is 401, also with a token', async (t) => {
    const good = signed({})
    for (const [url, method] of [
      [good, 'PUT'],
      [good, 'DELETE'],
      [good.replace('dir/o', 'dir/p'), 'GET'],
      [good.replace(/sig=../, 'sig=00'), 'GET'],
      [good.replace(/sig=../, 'sig='), 'GET'],
      [good.replace(/expires=\d/, 'expires=2'), 'GET'],
      [signed({ key: 'wrong' }), 'GET'],
      [signed({ expires: 1 }), 'GET'],
      [signed({ path: 'other/o', key: 'two' }), 'GET'],
      [signed({ path: 'box' }), 'GET'],
      [good.replace(/temp_url_sig=[^&]*&/, ''), 'GET'],
      [good.replace(/&temp_url_expires=.*/, ''), 'GET'],
    ] as const) {
      const answer = await ask(url, {
        method,
        headers: { 'x-auth-token': owner.token },
        ...(method === 'PUT' && { body: 'x' }),
      })
      t.equal(answer.status, 401, `${method} ${url}`)
    }
    t.equal((await owner.ask('box/dir/o')).text, 'hello')
  })

  t.test('a key that is replaced opens nothing any more', async (t) => {
    const url = signed({ key: 'three' })
    t.equal((await ask(url)).status, 200)
    await owner.ask('box', { method: 'POST', headers: { 'x-container-meta-temp-url-key-2': 'four' } })
    t.equal((await ask(url)).status, 401)
    t.equal((await ask(signed({ key: 'four' }))).status, 200)
  })

  t.test('PUT, POST and DELETE', async (t) => {
    t.equal((await ask(signed({ method: 'PUT', path: 'box/new' }), { method: 'PUT', body: 'new' })).status, 201)
    t.equal((await owner.ask('box/new')).text, 'new')
    t.equal((await ask(signed({ method: 'POST', path: 'box/new' }), { method: 'POST' })).status, 202)
    const headers = { 'x-object-manifest': 'other/o' }
    t.equal((await ask(signed({ method: 'PUT', path: 'box/m' }), { method: 'PUT', body: '', headers })).status, 400)
    const copy = { 'x-copy-from': 'other/o', 'content-length': '0' }
    t.equal((await ask(signed({ method: 'PUT', path: 'box/c' }), { method: 'PUT', headers: copy })).status, 201)
    const ofContainer = signed({ method: 'PUT', path: 'box/d', key: 'two' })
    t.equal((await ask(ofContainer, { method: 'PUT', headers: copy })).status, 401)
    t.equal((await ask(signed({ method: 'DELETE', path: 'box/new' }), { method: 'DELETE' })).status, 204)
    t.equal((await owner.ask('box/new')).status, 404)
  })

  t.test('a prefix, a time in ISO 8601, a range of addresses', async (t) => {
    const expires = soon()
    const signature = createHmac('sha256', 'one')
      .update(`GET\n${expires}\nprefix:/v1/${account}/box/dir/`)
      .digest('hex')
    const query = `temp_url_sig=${signature}&temp_url_expires=${expires}&temp_url_prefix=dir/`
    t.equal((await ask(`${owner.storageUrl}/box/dir/o?${query}`)).status, 200)
    t.equal((await ask(`${owner.storageUrl}/box/other?${query}`)).status, 401)
    const seconds = soon()
    const iso = new Date(seconds * 1000).toISOString().replace('.000', '')
    t.equal((await ask(signed({ expires: seconds }).replace(String(seconds), iso))).status, 200)
    t.equal((await ask(signed({ ip: '127.0.0.0/8', extra: '&temp_url_ip_range=127.0.0.0/8' }))).status, 200)
    t.equal((await ask(signed({ ip: '10.0.0.1', extra: '&temp_url_ip_range=10.0.0.1' }))).status, 401)
    t.equal((await ask(signed({ extra: '&temp_url_ip_range=127.0.0.0/8' }))).status, 401)
    t.equal((await ask(signed({ ip: 'nonsense', extra: '&temp_url_ip_range=nonsense' }))).status, 401)
  })

  t.test('the response names the file and shows public metadata only', async (t) => {
    const { headers } = await ask(signed({}))
    t.match(headers, {
      'content-disposition': `attachment; filename="o"; filename*=UTF-8''o`,
      expires: / GMT$/,
      'x-object-meta-public-a': 'p',
    })
    t.equal(headers['x-object-meta-secret'], undefined)
    const named = async (extra: string) => (await ask(signed({ extra }))).headers['content-disposition']
    t.equal(
      await named('&filename=a%20%22b%22%20%C3%A4'),
      `attachment; filename="a %22b%22 %C3%A4"; filename*=UTF-8''a%20%22b%22%20%C3%A4`,
    )
    t.equal(await named('&inline'), 'inline')
    t.equal(await named('&inline&filename=x'), `inline; filename="x"; filename*=UTF-8''x`)
  })
})

t.test('neither keys nor signatures are logged', async (t) => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const server = await startServer(t, { log })
  const owner = await server.login()
  await owner.ask('', { method: 'POST', headers: { 'x-account-meta-temp-url-key': 'unsayable' } })
  const signature = 'f'.repeat(64)
  await ask(`${owner.storageUrl}/box/o?temp_url_sig=${signature}&temp_url_expires=${soon()}`)
  t.ok(lines.length > 0)
  t.notMatch(lines.join(''), /unsayable/)
  t.notMatch(lines.join(''), new RegExp(signature))
})

import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

t.test('who may do what', async (t) => {
  const server = await startServer(t)
  const admin = await server.login()
  const member = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const other = await server.login(await server.createUser({ name: 'bob', project: 'green' }))
  const reader = await server.login(await server.createUser({ name: 'carol', project: 'blue', role: 'reader' }))
  await member.ask('box', { method: 'PUT' })
  await member.ask('box/o', { method: 'PUT', body: 'x' })

  t.test('without a token, or with a wrong one, everything is 401 and says for which account', async (t) => {
    for (const headers of [{}, { 'x-auth-token': 'nonsense' }]) {
      for (const path of ['', '/box', '/box/o', '/absent/o']) {
        for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY']) {
          const answer = await ask(`${member.storageUrl}${path}`, { method, headers })
          t.equal(answer.status, 401, `${method} ${path}`)
          t.equal(answer.headers['www-authenticate'], `Swift realm="AUTH_${member.projectId}"`)
        }
      }
    }
  })

  t.test('another project’s account is 403, whatever is in it', async (t) => {
    for (const path of ['', '/box', '/box/o', '/absent/o']) {
      const url = `${member.storageUrl}${path}`
      for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE']) {
        const answer = await ask(url, { method, headers: { 'x-auth-token': other.token, 'content-length': '0' } })
        if (path === '' && ['PUT', 'DELETE'].includes(method)) t.equal(answer.status, 405)
        else t.equal(answer.status, 403, `${method} ${path}`)
      }
    }
    t.equal((await member.ask('box/o')).text, 'x')
  })

  t.test('a copy needs access at both ends', async (t) => {
    await other.ask('mine', { method: 'PUT' })
    const account = `AUTH_${member.projectId}`
    const headers = { 'x-copy-from': 'box/o', 'x-copy-from-account': account, 'content-length': '0' }
    t.equal((await other.ask('mine/o', { method: 'PUT', headers })).status, 403)
    await other.ask('mine/p', { method: 'PUT', body: 'y' })
    const out = { destination: 'box/p', 'destination-account': account }
    t.equal((await other.ask('mine/p', { method: 'COPY', headers: out })).status, 403)
  })

  t.test('a reader reads and changes nothing', async (t) => {
    t.equal((await reader.ask('box/o')).text, 'x')
    t.equal((await reader.ask('box')).text, 'o\n')
    for (const [method, path] of [
      ['PUT', 'box/n'],
      ['PUT', 'new'],
      ['POST', 'box'],
      ['POST', 'box/o'],
      ['POST', ''],
      ['DELETE', 'box/o'],
      ['DELETE', 'box'],
    ] as const) {
      t.equal((await reader.ask(path, { method, body: '' })).status, 403, `${method} ${path}`)
    }
    const headers = { destination: 'box/copy' }
    t.equal((await reader.ask('box/o', { method: 'COPY', headers })).status, 403)
    t.equal((await member.ask('box')).text, 'o\n')
  })

  t.test('an admin may look into every account', async (t) => {
    t.equal((await ask(`${member.storageUrl}/box/o`, { headers: { 'x-auth-token': admin.token } })).text, 'x')
  })

  t.test('X-Storage-Token is as good as X-Auth-Token', async (t) => {
    t.equal((await ask(`${member.storageUrl}/box/o`, { headers: { 'x-storage-token': member.token } })).text, 'x')
  })

  t.test('an account with another prefix is nobody’s', async (t) => {
    const url = `${server.url}/v1/OTHER_${member.projectId}`
    t.equal((await ask(url, { headers: { 'x-auth-token': member.token } })).status, 403)
  })

  t.test('a realm cannot end its quotation', async (t) => {
    const answer = await ask(`${server.url}/v1/a%22b%0d%0ac`)
    t.equal(answer.headers['www-authenticate'], 'Swift realm="abc"')
  })

  t.test('TempAuth’s login gives a URL and a token that work', async (t) => {
    const headers = { 'x-auth-user': 'blue:alice', 'x-auth-key': 'password-of-alice' }
    const answer = await ask(`${server.url}/auth/v1.0`, { headers })
    t.equal(answer.status, 200)
    t.equal(answer.headers['x-storage-url'], member.storageUrl)
    t.equal(answer.headers['x-storage-token'], answer.headers['x-auth-token'])
    t.match(answer.headers['x-auth-token-expires'], /^\d+$/)
    const token = String(answer.headers['x-auth-token'])
    t.equal((await ask(`${member.storageUrl}/box/o`, { headers: { 'x-auth-token': token } })).text, 'x')
  })

  t.test('TempAuth’s login refuses wrong keys, other projects and half of the headers', async (t) => {
    for (const headers of [
      { 'x-auth-user': 'blue:alice', 'x-auth-key': 'wrong' },
      { 'x-auth-user': 'green:alice', 'x-auth-key': 'password-of-alice' },
      { 'x-auth-user': 'alice', 'x-auth-key': 'password-of-alice' },
      { 'x-auth-user': 'blue:alice' },
      {},
    ]) {
      t.equal((await ask(`${server.url}/auth/v1.0`, { headers: headers as Record<string, string> })).status, 401)
    }
  })

  t.test('/info says what is served, to anyone', async (t) => {
    const { swift, ...others } = (await ask(`${server.url}/info`)).json
    t.match(swift, { max_object_name_length: 1024, container_listing_limit: 10000, policies: [{ name: 'standard' }] })
    t.match(others, {
      slo: { max_manifest_segments: 1000, max_manifest_size: 8388608, min_segment_size: 1 },
      symlink: { symloop_max: 2, static_links: true },
      bulk_delete: { max_deletes_per_request: 10000 },
    })
    for (const later of ['bulk_upload', 'object_versioning']) {
      t.notOk(later in others, later)
    }
  })
})

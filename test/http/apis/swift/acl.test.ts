import { Readable } from 'node:stream'
import t from 'tap'
import { cleanContainerAcl, containerAclAllows } from '../../../../src/core/policy/container_acl.js'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

t.test('access lists of containers', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const other = await server.login(await server.createUser({ name: 'bob', project: 'green' }))
  const reader = await server.login(await server.createUser({ name: 'carol', project: 'blue', role: 'reader' }))
  const url = (path: string) => `${owner.storageUrl}/${path}`
  const as = (token: string) => ({ 'x-auth-token': token })
  await owner.ask('box', { method: 'PUT' })
  await owner.ask('box/o', { method: 'PUT', body: 'hello' })
  const share = (headers: Record<string, string>) => owner.ask('box', { method: 'POST', headers })

  t.test('.r:* lets everyone read objects but not list them; .rlistings lets them list', async (t) => {
    t.equal((await ask(url('box/o'))).status, 401)
    t.equal((await share({ 'x-container-read': '.r:*' })).status, 204)
    t.equal((await ask(url('box/o'))).text, 'hello')
    t.equal((await ask(url('box/o'), { headers: as(other.token) })).text, 'hello')
    t.equal((await ask(url('box/o'), { headers: as('nonsense') })).text, 'hello')
    t.equal((await ask(url('box'))).status, 401)
    t.equal((await ask(url('box'), { headers: as(other.token) })).status, 403)
    t.equal((await ask(url('box/o'), { method: 'PUT', body: 'x' })).status, 401)
    t.equal((await ask(url('box/o'), { method: 'DELETE' })).status, 401)
    await share({ 'x-container-read': '.r:*, .rlistings' })
    t.equal((await ask(url('box'))).text, 'o\n')
    t.equal((await ask(url('box/absent'))).status, 404)
    await share({ 'x-remove-container-read': 'x' })
    t.equal((await ask(url('box/o'))).status, 401)
  })

  t.test('a project and a user, by ID or name, may read; a write list does not let them read', async (t) => {
    for (const grantee of [`${other.projectId}:${other.userId}`, 'green:bob', 'green:*', '*:bob', '*:*']) {
      await share({ 'x-container-read': grantee })
      t.equal((await ask(url('box/o'), { headers: as(other.token) })).text, 'hello', grantee)
      t.equal((await ask(url('box'), { headers: as(other.token) })).status, 200, grantee)
      t.equal((await ask(url('box/n'), { method: 'PUT', body: 'x', headers: as(other.token) })).status, 403, grantee)
    }
    await share({ 'x-container-read': 'green:alice', 'x-container-write': 'green:bob' })
    t.equal((await ask(url('box/o'), { headers: as(other.token) })).status, 403)
    t.equal((await ask(url('box/n'), { method: 'PUT', body: 'x', headers: as(other.token) })).status, 201)
    t.equal((await ask(url('box/n'), { method: 'POST', headers: as(other.token) })).status, 202)
    t.equal((await ask(url('box/n'), { method: 'DELETE', headers: as(other.token) })).status, 204)
    t.equal((await ask(url('box'), { method: 'DELETE', headers: as(other.token) })).status, 403)
    t.equal((await ask(url('new'), { method: 'PUT', headers: as(other.token) })).status, 403)
  })

  t.test('a copy needs to read its source and to write to its destination', async (t) => {
    await other.ask('mine', { method: 'PUT' })
    const from = { 'x-copy-from': 'box/o', 'x-copy-from-account': `AUTH_${owner.projectId}`, 'content-length': '0' }
    await share({ 'x-container-read': '', 'x-container-write': 'green:bob' })
    t.equal((await other.ask('mine/o', { method: 'PUT', headers: from })).status, 403)
    await share({ 'x-container-read': 'green:bob', 'x-container-write': '' })
    t.equal((await other.ask('mine/o', { method: 'PUT', headers: from })).status, 201)
    const to = { destination: 'box/p', 'destination-account': `AUTH_${owner.projectId}` }
    t.equal((await other.ask('mine/o', { method: 'COPY', headers: to })).status, 403)
    await share({ 'x-container-write': 'green:bob' })
    t.equal((await other.ask('mine/o', { method: 'COPY', headers: to })).status, 201)
  })

  t.test('only the owner sees the lists and the keys', async (t) => {
    await share({ 'x-container-read': 'green:bob', 'x-container-meta-temp-url-key': 'secret' })
    const seen = (await owner.ask('box', { method: 'HEAD' })).headers
    t.match(seen, { 'x-container-read': 'green:bob', 'x-container-meta-temp-url-key': 'secret' })
    for (const token of [other.token, reader.token]) {
      const { status, headers } = await ask(url('box'), { method: 'HEAD', headers: as(token) })
      t.equal(status, 204)
      t.notMatch(Object.keys(headers).join(), /x-container-read|temp-url-key/)
    }
  })

  t.test('a malformed list is 400 and changes nothing', async (t) => {
    for (const [header, value] of [
      ['x-container-read', '.r:'],
      ['x-container-read', '.x:y'],
      ['x-container-write', '.r:*'],
    ] as const) {
      t.equal((await share({ [header]: value })).status, 400, value)
    }
    t.equal((await owner.ask('box', { method: 'HEAD' })).headers['x-container-read'], 'green:bob')
  })

  t.test('an upload ends when the list that allows it is taken back', async (t) => {
    await share({ 'x-container-write': 'green:bob' })
    const body = Readable.from(
      (async function* () {
        yield 'begun'
        await share({ 'x-container-write': '' })
        yield 'ended'
      })(),
    )
    const answer = await ask(url('box/late'), { method: 'PUT', headers: as(other.token), body })
    t.equal(answer.status, 403)
    t.equal((await owner.ask('box/late')).status, 404)
  })
})

t.test('access lists of accounts', async (t) => {
  const server = await startServer(t)
  const owner = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))
  const other = await server.login(await server.createUser({ name: 'bob', project: 'green' }))
  const headers = { 'x-auth-token': other.token }
  const at = (path: string, method: string, more = {}) =>
    ask(`${owner.storageUrl}${path}`, {
      method,
      headers: { ...headers, ...more },
      ...(method === 'PUT' && { body: '' }),
    })
  const share = (list: unknown) =>
    owner.ask('', { method: 'POST', headers: { 'x-account-access-control': JSON.stringify(list) } })
  await owner.ask('box', { method: 'PUT' })

  t.test('read-only reads, read-write also changes what is in the account, admin is like the owner', async (t) => {
    t.equal((await at('', 'GET')).status, 403)
    await share({ 'read-only': ['green:bob'] })
    t.equal((await at('', 'GET')).text, 'box\n')
    t.equal((await at('/box', 'HEAD')).status, 204)
    t.equal((await at('/box/o', 'PUT')).status, 403)
    await share({ 'read-write': ['green'] })
    t.equal((await at('/new', 'PUT')).status, 201)
    t.equal((await at('/new/o', 'PUT')).status, 201)
    t.equal((await at('', 'POST')).status, 403)
    t.equal((await at('', 'HEAD')).headers['x-account-access-control'], undefined)
    t.equal((await at('/box', 'POST', { 'x-container-read': '.r:*' })).status, 204)
    t.equal((await owner.ask('box', { method: 'HEAD' })).headers['x-container-read'], undefined)
    await share({ admin: [other.projectId] })
    t.equal((await at('', 'POST', { 'x-account-meta-a': 'b' })).status, 204)
    t.match((await at('', 'HEAD')).headers, { 'x-account-access-control': /admin/, 'x-account-meta-a': 'b' })
    await share({})
    t.equal((await at('', 'HEAD')).status, 403)
  })

  t.test('a malformed list is 400', async (t) => {
    for (const list of ['[]', 'x', '{"owner":["a"]}', '{"admin":"a"}', '{"admin":[1]}']) {
      const answer = await owner.ask('', { method: 'POST', headers: { 'x-account-access-control': list } })
      t.equal(answer.status, 400, list)
    }
  })
})

t.test('referrers: the last one that matches decides', async (t) => {
  const allows = (acl: string, referrer: string | undefined) =>
    containerAclAllows(cleanContainerAcl('X-Container-Read', acl), { caller: undefined, referrer, listing: false })
  const acl = '.referrer : *.example.com , .r:-thief.example.com,,'
  t.equal(cleanContainerAcl('X-Container-Read', acl), '.r:.example.com,.r:-thief.example.com')
  t.equal(allows(acl, 'http://www.example.com/page'), true)
  t.equal(allows(acl, 'http://thief.example.com/page'), false)
  t.equal(allows(acl, 'http://other.com/?.example.com'), false)
  t.equal(allows(acl, undefined), false)
  t.equal(allows('.r:*,.r:-.thief.com', undefined), true)
  t.equal(allows('.r:*,.r:-.thief.com', 'https://a.thief.com'), false)
})

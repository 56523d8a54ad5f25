// Application credentials, EC2 keys and the entries of the service catalog.

import t from 'tap'
import { type Answer, ask, type Question } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

const server = await startServer(t)
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))
const mine = `/v3/users/${alice.userId}`

async function create(json: object, session = alice): Promise<{ id: string; secret: string }> {
  const answer = await session.ask(`${mine}/application_credentials`, {
    method: 'POST',
    json: { application_credential: json },
  })
  t.equal(answer.status, 201, answer.text)
  return answer.json.application_credential
}

function logIn({ id, secret }: { id: string; secret: string }, scope?: object): Promise<Answer> {
  const identity = { methods: ['application_credential'], application_credential: { id, secret } }
  return ask(`${server.url}/v3/auth/tokens`, { method: 'POST', json: { auth: { identity, ...(scope && { scope }) } } })
}

const call = async (login: Answer, path: string, question: Question = {}) =>
  (
    await ask(`${server.url}${path}`, {
      ...question,
      headers: { 'x-auth-token': String(login.headers['x-subject-token']) },
    })
  ).status

t.test('an application credential logs in to its project, until it is deleted', async (t) => {
  const credential = await create({ name: 'ci' })
  const login = await logIn(credential)
  t.match(login.json.token, {
    methods: ['application_credential'],
    project: { id: alice.projectId },
    roles: [{ name: 'member' }],
    application_credential: { id: credential.id, name: 'ci', restricted: true },
  })
  t.equal((await logIn({ ...credential, secret: 'wrong' })).status, 401)
  t.equal((await logIn({ ...credential, id: 'unknown' })).status, 401)
  t.equal((await logIn(credential, { project: { id: admin.projectId } })).status, 401)
  t.equal((await logIn(credential, { system: { all: true } })).status, 401)
  const shown = await alice.ask(`${mine}/application_credentials/${credential.id}`)
  t.equal(shown.text.includes(credential.secret), false)
  t.equal(await call(login, `/v1/AUTH_${alice.projectId}`), 204)
  const gone = await alice.ask(`${mine}/application_credentials/${credential.id}`, { method: 'DELETE' })
  t.equal(gone.status, 204)
  t.equal(await call(login, `/v1/AUTH_${alice.projectId}`), 401)
  t.equal((await logIn(credential)).status, 401)
})

t.test('a restricted credential makes no credentials, also by a token that was obtained with its token', async (t) => {
  const restricted = await logIn(await create({ name: 'restricted' }))
  const identity = { methods: ['token'], token: { id: String(restricted.headers['x-subject-token']) } }
  const json = { auth: { identity } }
  const derived = await ask(`${server.url}/v3/auth/tokens`, { method: 'POST', json })
  t.equal(derived.status, 201)
  const unscoped = { auth: { identity, scope: 'unscoped' } }
  t.equal((await ask(`${server.url}/v3/auth/tokens`, { method: 'POST', json: unscoped })).status, 401)
  const another = { method: 'POST', json: { application_credential: { name: 'another' } } }
  const ec2 = { method: 'POST', json: { tenant_id: alice.projectId } }
  for (const login of [restricted, derived]) {
    t.equal(await call(login, `${mine}/application_credentials`, another), 403)
    t.equal(await call(login, `${mine}/credentials/OS-EC2`, ec2), 403)
  }
  const unrestricted = await logIn(await create({ name: 'unrestricted', unrestricted: true }))
  t.equal(await call(unrestricted, `${mine}/application_credentials`, another), 201)
})

t.test('a credential has at most the roles that its user still has', async (t) => {
  const roles = server.core.identity.roles
  const [reader] = await roles.list({ name: 'reader' })
  const [member] = await roles.list({ name: 'member' })
  const grant = { userId: alice.userId, projectId: alice.projectId, roleId: reader?.id ?? '' }
  const refused = await alice.ask(`${mine}/application_credentials`, {
    method: 'POST',
    json: { application_credential: { name: 'more', roles: [{ name: 'admin' }] } },
  })
  t.equal(refused.status, 400)
  await server.core.identity.grants.assign(grant)
  const login = await logIn(await create({ name: 'reads', roles: [{ id: reader?.id }] }))
  t.equal(await call(login, `/v1/AUTH_${alice.projectId}`), 204)
  t.equal(
    await call(login, `/v1/AUTH_${alice.projectId}/c`, { method: 'PUT' }),
    403,
    'a reader though alice is a member',
  )
  await server.core.identity.grants.unassign(grant)
  t.equal(await call(login, `/v1/AUTH_${alice.projectId}`), 401)
  t.ok(member)
})

t.test('access rules allow what they name, of the service that they name', async (t) => {
  const access_rules = [
    { service: 'object-store', method: 'GET', path: '/v1/*/allowed/**' },
    { service: 'image', method: 'GET', path: '/v2/images' },
  ]
  const login = await logIn(await create({ name: 'ruled', access_rules }))
  const account = `/v1/AUTH_${alice.projectId}`
  t.equal(await call(login, `${account}/allowed/x`), 404)
  t.equal(await call(login, `${account}/allowed/x/y?z=1`), 404)
  t.equal(await call(login, '/image/v2/images'), 200)
  for (const path of [account, `${account}/other/x`, '/image/v2/images/x', '/volume/v3/volumes'])
    t.equal(await call(login, path), 401, path)
  t.equal(await call(login, `${account}/allowed/x`, { method: 'PUT', body: 'x' }), 401)
  const bad = [{ service: 'image', method: 'EAT', path: '/' }, { service: 'image', method: 'GET', path: 'x' }, 5, {}]
  for (const rule of bad) {
    const json = { application_credential: { name: 'bad', access_rules: [rule] } }
    t.equal((await alice.ask(`${mine}/application_credentials`, { method: 'POST', json })).status, 400)
  }
})

t.test('a credential ends at its expiry, and its tokens with it', async (t) => {
  const expires = new Date(Date.now() + 60_000).toISOString()
  const login = await logIn(await create({ name: 'short', expires_at: expires }))
  t.equal(Date.parse(login.json.token.expires_at), Date.parse(expires))
  for (const expires_at of ['yesterday', '2001-01-01T00:00:00.000000']) {
    const json = { application_credential: { name: 'late', expires_at } }
    t.equal((await alice.ask(`${mine}/application_credentials`, { method: 'POST', json })).status, 400, expires_at)
  }
})

t.test('credentials are their user’s alone, and an admin’s to see', async (t) => {
  const bob = await server.login(await server.createUser({ name: 'bob' }))
  const keys = await alice.ask(`${mine}/credentials/OS-EC2`, { method: 'POST', json: { tenant_id: alice.projectId } })
  t.equal(keys.status, 201)
  const { access, secret } = keys.json.credential
  const path = `${mine}/credentials/OS-EC2/${access}`
  t.match((await alice.ask(path)).json.credential, { access, secret, tenant_id: alice.projectId })
  t.equal((await bob.ask(path)).status, 403)
  t.equal((await bob.ask(`${mine}/application_credentials`)).status, 403)
  t.same((await bob.ask('/v3/credentials')).json.credentials, [])
  t.equal((await bob.ask(`/v3/credentials?user_id=${alice.userId}`)).status, 403)
  const [listed] = (await admin.ask('/v3/credentials?type=ec2')).json.credentials
  t.equal((await bob.ask(`/v3/credentials/${listed.id}`)).status, 403)
  const stolen = { method: 'PATCH', json: { credential: { user_id: bob.userId } } }
  t.equal((await alice.ask(`/v3/credentials/${listed.id}`, stolen)).status, 403, 'nobody gives keys to others')
  t.equal((await alice.ask(path, { method: 'DELETE' })).status, 204)
  t.equal((await alice.ask(path)).status, 404)
})

t.test('services and endpoints that are added are in the catalog of tokens; the server’s own stay', async (t) => {
  const post = async (path: string, json: object) => (await admin.ask(`/v3/${path}`, { method: 'POST', json })).json
  const { service } = await post('services', { service: { type: 'dns', name: 'designate' } })
  const endpoint = { service_id: service.id, interface: 'public', url: 'http://dns/$(project_id)s', region: 'Two' }
  const made = (await post('endpoints', { endpoint })).endpoint
  const inCatalog = async () =>
    (await alice.ask('/v3/auth/catalog')).json.catalog.find(({ type }: Named) => type === 'dns')
  t.match(await inCatalog(), {
    name: 'designate',
    endpoints: [{ url: `http://dns/${alice.projectId}`, region_id: 'Two' }],
  })
  t.equal((await admin.ask('/v3/regions/Two', { method: 'DELETE' })).status, 403, 'it is in use')
  const disabled = { method: 'PATCH', json: { endpoint: { enabled: false } } }
  t.equal((await admin.ask(`/v3/endpoints/${made.id}`, disabled)).status, 200)
  t.same((await inCatalog()).endpoints, [])
  t.equal((await admin.ask(`/v3/services/${service.id}`, { method: 'DELETE' })).status, 204)
  t.equal((await admin.ask(`/v3/endpoints/${made.id}`)).status, 404)
  t.equal((await admin.ask('/v3/regions/Two', { method: 'DELETE' })).status, 204)
  const [own] = (await admin.ask('/v3/services?type=image')).json.services
  t.equal((await admin.ask(`/v3/services/${own.id}`, { method: 'DELETE' })).status, 403)
  t.equal((await admin.ask('/v3/regions/RegionOne', { method: 'DELETE' })).status, 403)
  t.equal((await alice.ask('/v3/services')).status, 403)
})

t.test('what is not supported of the Identity API is one 400 for everybody', async (t) => {
  for (const path of ['OS-TRUST/trusts', 'OS-OAUTH1/consumers', 'OS-FEDERATION/protocols', 'policies', 'limits'])
    t.match(await alice.ask(`/v3/${path}`), { status: 400, json: { error: { message: /does not support/ } } }, path)
  t.equal((await ask(`${server.url}/v3/OS-TRUST/trusts`)).status, 401)
})

interface Named {
  type: string
}

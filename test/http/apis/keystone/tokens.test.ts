import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

const domain = { id: 'default' }

t.test('logging in', async (t) => {
  const server = await startServer(t)
  const alice = await server.createUser({ name: 'alice', project: 'blue' })
  const bob = await server.createUser({ name: 'bob', project: 'green' })
  const tokens = `${server.url}/v3/auth/tokens`

  const passwordLogin = (user: { user: string; password: string }, scope?: unknown) => ({
    auth: {
      identity: { methods: ['password'], password: { user: { name: user.user, domain, password: user.password } } },
      ...(scope !== undefined && { scope }),
    },
  })
  const login = (json: unknown) => ask(tokens, { method: 'POST', json })
  const projectScope = (name: string) => ({ project: { name, domain } })

  t.test('discovery: GET / offers version 3, GET /v3 describes it', async (t) => {
    const root = await ask(`${server.url}/`)
    t.equal(root.status, 300)
    const [version] = root.json.versions.values
    t.match(version, { id: /^v3\./, status: 'stable', links: [{ rel: 'self', href: `${server.url}/v3/` }] })
    for (const path of ['/v3', '/v3/']) {
      const { status, json } = await ask(`${server.url}${path}`)
      t.equal(status, 200)
      t.same(json, { version })
    }
  })

  t.test('a password gets a token for a project, with roles and catalog', async (t) => {
    const answer = await login(passwordLogin(alice, projectScope('blue')))
    t.equal(answer.status, 201)
    t.match(answer.headers['x-subject-token'], /^[\w-]{43}$/)
    const { token } = answer.json
    t.match(token, {
      methods: ['password'],
      user: { name: 'alice', domain: { id: 'default', name: 'Default' }, password_expires_at: null },
      project: { name: 'blue', domain: { id: 'default', name: 'Default' } },
      is_domain: false,
      roles: [{ name: 'member' }],
      issued_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
      expires_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/,
    })
    t.equal(token.audit_ids.length, 1)
    const urls = Object.fromEntries(
      token.catalog.map(({ type, endpoints }: { type: string; endpoints: { url: string }[] }) => [
        type,
        endpoints[0]?.url,
      ]),
    )
    t.same(urls, {
      identity: `${server.url}/v3`,
      'object-store': `${server.url}/v1/AUTH_${token.project.id}`,
      image: `${server.url}/image`,
      volumev3: `${server.url}/volume/v3/${token.project.id}`,
      'block-storage': `${server.url}/volume/v3/${token.project.id}`,
    })
    for (const service of token.catalog) {
      const sides = service.endpoints.map((endpoint: { interface: string }) => endpoint.interface)
      t.same(sides.sort(), ['admin', 'internal', 'public'])
    }
  })

  t.test('URLs in the catalog are those under which the client came', async (t) => {
    const json = passwordLogin(alice, projectScope('blue'))
    const named = await ask(tokens, { method: 'POST', json, headers: { host: 'cloud.example.org:8780' } })
    t.match(JSON.stringify(named.json.token.catalog), /http:\/\/cloud\.example\.org:8780\/image/)
    const evil = await ask(tokens, { method: 'POST', json, headers: { host: 'a"b<c>' } })
    t.match(JSON.stringify(evil.json.token.catalog), /http:\/\/127\.0\.0\.1:\d+\/image/)
  })

  t.test('without a scope the token is unscoped: no project, no roles, no catalog', async (t) => {
    const { status, json } = await login(passwordLogin(alice, 'unscoped'))
    t.equal(status, 201)
    t.notOk('project' in json.token || 'roles' in json.token || 'catalog' in json.token)
  })

  t.test('?nocatalog leaves the catalog out', async (t) => {
    const answer = await ask(`${tokens}?nocatalog`, {
      method: 'POST',
      json: passwordLogin(alice, projectScope('blue')),
    })
    t.notOk('catalog' in answer.json.token)
  })

  t.test('a token gets a token for another scope that ends when the first one does', async (t) => {
    const first = await login(passwordLogin(alice, 'unscoped'))
    const identity = { methods: ['token'], token: { id: first.headers['x-subject-token'] } }
    const second = await login({ auth: { identity, scope: projectScope('blue') } })
    t.equal(second.status, 201)
    t.match(second.json.token, { project: { name: 'blue' }, expires_at: first.json.token.expires_at })
    t.equal(second.json.token.audit_ids[1], first.json.token.audit_ids[0])
  })

  t.test('whatever is wrong with a login, the answer is the same 401', async (t) => {
    const answers = [
      await login(passwordLogin({ ...alice, password: 'wrong' }, projectScope('blue'))),
      await login(passwordLogin({ user: 'nobody', password: 'wrong' }, projectScope('blue'))),
      await login(passwordLogin(alice, projectScope('green'))),
      await login(passwordLogin(alice, projectScope('absent'))),
      await login(passwordLogin(alice, { project: { name: 'blue', domain: { name: 'Other' } } })),
    ]
    for (const answer of answers) {
      t.equal(answer.status, 401)
      t.equal(answer.json.error.code, 401)
      t.equal(answer.json.error.title, 'Unauthorized')
      t.equal(answer.json.error.message, answers[0]?.json.error.message)
      t.equal(answer.headers['www-authenticate'], `Keystone uri="${server.url}/v3"`)
    }
    const token = await login({ auth: { identity: { methods: ['token'], token: { id: 'nonsense' } } } })
    t.equal(token.status, 401)
  })

  t.test('guessing one user’s password is stopped after ten failures, and nobody else’s', async (t) => {
    const mallory = await server.createUser({ name: 'mallory', project: 'red' })
    const guesses = Array.from({ length: 14 }, () => login(passwordLogin({ ...mallory, password: 'guess' })))
    const statuses = (await Promise.all(guesses)).map(({ status }) => status).sort()
    t.same(statuses, [...Array(10).fill(401), ...Array(4).fill(429)])
    t.equal((await login(passwordLogin(mallory))).status, 429)
    t.equal((await login(passwordLogin(bob))).status, 201)
  })

  t.test('a token is shown to its user and to admins', async (t) => {
    const session = await server.login(alice)
    const admin = await server.login()
    const other = await server.login(bob)
    const show = (by: string, subject: string, method = 'GET') =>
      ask(tokens, { method, headers: { 'x-auth-token': by, 'x-subject-token': subject } })
    const own = await show(session.token, session.token)
    t.equal(own.status, 200)
    t.equal(own.headers['x-subject-token'], session.token)
    t.match(own.json.token, { user: { name: 'alice' }, project: { name: 'blue' }, methods: ['password'] })
    const head = await show(admin.token, session.token, 'HEAD')
    t.equal(head.status, 200)
    t.equal(head.body.length, 0)
    t.equal((await show(other.token, session.token)).status, 403)
    t.equal((await show('nonsense', session.token)).status, 401)
    t.match(await show(admin.token, 'nonsense'), { status: 404, json: { error: { code: 404, title: 'Not Found' } } })
  })

  t.test('a revoked token is good for nothing any more, and the others are', async (t) => {
    const [one, two] = [await server.login(alice), await server.login(alice)]
    const revoke = { method: 'DELETE', headers: { 'x-auth-token': one.token, 'x-subject-token': one.token } }
    t.equal((await ask(tokens, revoke)).status, 204)
    t.equal((await one.ask('', { method: 'HEAD' })).status, 401)
    t.equal((await ask(tokens, revoke)).status, 401)
    t.equal((await two.ask('', { method: 'HEAD' })).status, 204)
  })

  t.test('a caller sees the projects, domains and catalog it has', async (t) => {
    const session = await server.login(alice)
    t.match((await session.ask('/v3/auth/projects')).json, { projects: [{ name: 'blue', domain_id: 'default' }] })
    t.same((await session.ask('/v3/auth/domains')).json.domains, [])
    t.equal((await session.ask('/v3/auth/catalog')).json.catalog.length, 5)
    t.equal((await ask(`${server.url}/v3/auth/projects`)).status, 401)
  })

  t.test('bodies that are no login are 400 in Keystone’s format', async (t) => {
    for (const body of ['', '{', '[]', 'null', '"x"', '{"auth": 5}']) {
      const answer = await ask(tokens, { method: 'POST', body })
      t.equal(answer.status, 400, body)
      t.match(answer.json, { error: { code: 400, title: 'Bad Request' } })
    }
    t.equal((await ask(tokens, { method: 'POST', body: ' '.repeat(2 << 20) })).status, 413)
  })

  t.test('what is not there is 404 in Keystone’s format, and a method that is not served 405', async (t) => {
    t.match(await ask(`${server.url}/v3/nowhere`), { status: 404, json: { error: { code: 404, title: 'Not Found' } } })
    t.equal((await ask(tokens, { method: 'PUT' })).status, 405)
  })

  t.test('every answer names its request', async (t) => {
    t.match((await ask(`${server.url}/v3`)).headers['x-openstack-request-id'], /^req-[0-9a-f-]{36}$/)
  })
})

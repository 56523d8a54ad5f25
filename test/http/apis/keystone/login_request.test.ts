import t from 'tap'
import { parseLogin } from '../../../../src/http/apis/keystone/requests/login_request.js'
import { refusal } from '../../../../testkit/refusal.js'

const domain = { id: 'default' }
const password = (user: unknown, scope?: unknown) => ({
  auth: { identity: { methods: ['password'], password: { user } }, ...(scope !== undefined && { scope }) },
})

t.test('a user is named by id, or by name and domain', async (t) => {
  t.match(parseLogin(password({ id: 'u1', password: 'p' })), { user: { id: 'u1' }, password: 'p', scope: 'default' })
  t.match(parseLogin(password({ name: 'alice', domain, password: 'p' })), { user: { name: 'alice' } })
  t.match(parseLogin(password({ name: 'alice', domain: { name: 'Default' }, password: 'p' })), {
    user: { name: 'alice' },
  })
})

t.test('a scope is a project, a domain, the system, none, or what the user has set', async (t) => {
  const user = { id: 'u1', password: 'p' }
  t.same(parseLogin(password(user, { project: { id: 'p1' } })).scope, { project: { id: 'p1' } })
  t.same(parseLogin(password(user, { project: { name: 'demo', domain } })).scope, { project: { name: 'demo', domain } })
  t.same(parseLogin(password(user, { domain: { name: 'Other' } })).scope, { domain: { name: 'Other' } })
  t.equal(parseLogin(password(user, { system: { all: true } })).scope, 'system')
  t.equal(parseLogin(password(user, 'unscoped')).scope, 'unscoped')
  t.equal(parseLogin(password(user, { unscoped: {} })).scope, 'unscoped')
  t.equal(parseLogin(password(user)).scope, 'default')
})

t.test('a token logs in by its id', async (t) => {
  const body = { auth: { identity: { methods: ['token'], token: { id: 'secret' } } } }
  t.same(parseLogin(body), { method: 'token', token: 'secret', scope: 'default' })
})

t.test('an application credential is named by its ID, or by its name and user', async (t) => {
  const login = (credential: object) => ({
    auth: { identity: { methods: ['application_credential'], application_credential: credential } },
  })
  const method = 'application_credential'
  t.same(parseLogin(login({ id: 'c1', secret: 's' })), {
    method,
    credential: { id: 'c1' },
    secret: 's',
    scope: 'default',
  })
  const user = { name: 'alice', domain: { id: 'default' } }
  t.same(parseLogin(login({ name: 'ci', user, secret: 's' })), {
    method,
    credential: { name: 'ci', user },
    secret: 's',
    scope: 'default',
  })
})

t.test(
  'a scope, a method and a combination of methods that Atoll does not support are 400 with their name',
  async (t) => {
    const user = { id: 'u1', password: 'p' }
    t.match(
      refusal(() => parseLogin(password(user, { 'OS-TRUST:trust': { id: 't' } }))),
      { status: 400, message: /does not support a scope other than a project, a domain or the system/ },
    )
    t.match(
      refusal(() => parseLogin({ auth: { identity: { methods: ['totp'] } } })),
      { status: 400, message: /does not support the login method totp/ },
    )
    t.match(
      refusal(() => parseLogin({ auth: { identity: { methods: ['password', 'totp'] } } })),
      { status: 400, message: /does not support logging in by several methods/ },
    )
  },
)

t.test('malformed bodies are refused', async (t) => {
  for (const body of [
    {},
    { auth: null },
    { auth: [] },
    { auth: { identity: {} } },
    { auth: { identity: { methods: 'password' } } },
    { auth: { identity: { methods: [] } } },
    { auth: { identity: { methods: ['password'] } } },
    password(null),
    password({ id: 'u1' }),
    password({ id: 7, password: 'p' }),
    password({ name: 'alice', password: 'p' }),
    password({ id: 'u1', password: ['p'] }),
    password({ id: 'x'.repeat(5000), password: 'p' }),
    password({ id: 'u1', password: 'p' }, 7),
    password({ id: 'u1', password: 'p' }, { project: { name: 'demo' } }),
  ]) {
    t.match(
      refusal(() => parseLogin(body as never)),
      { status: 400 },
      JSON.stringify(body).slice(0, 80),
    )
  }
})

import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { RoleId } from '../../../src/lib/ids.js'
import { collected } from '../../../src/core/lists/slices.js'
import { refused, TestStore } from '../support.js'

const password = 'a password'

const store = await TestStore.open(t)

t.test('a user logs in by name or id, for a project, and is who the token says', async (t) => {
  const { sessions } = store.core
  const alice = await store.caller('alice1', 'member', 'research1')
  for (const user of [{ name: 'alice1' }, { id: alice.user.id }]) {
    for (const project of [{ name: 'research1' }, { id: alice.project.id }]) {
      const { token } = await sessions.loginByPassword({ user, password, scope: { project } })
      t.match(token, /^[A-Za-z0-9_-]{43}$/)
      const { caller, methods } = await sessions.authenticate(token)
      t.match(caller, { user: { name: 'alice1' }, project: { name: 'research1' }, isAdmin: false, canWrite: true })
      t.same(methods, ['password'])
    }
  }
})

t.test('scopes: the default project, none, one without a role', async (t) => {
  const { sessions, identity } = store.core
  await store.caller('alice2')
  await identity.projects.create({ name: 'other' })
  const login = (scope: Parameters<typeof sessions.loginByPassword>[0]['scope']) =>
    sessions.loginByPassword({ user: { name: 'alice2' }, password, scope })
  t.equal((await login('default')).session.caller.project?.name, 'alice2')
  t.equal((await login('unscoped')).session.caller.project, undefined)
  await t.rejects(login({ project: { name: 'other' } }), { code: 'login_failed' })
  await t.rejects(login({ project: { name: 'none' } }), { code: 'login_failed' })
})

t.test('a wrong password, an unknown and a disabled user get the same answer', async (t) => {
  const { sessions, identity } = store.core
  await store.caller('alice3')
  const bob = await store.caller('bob3')
  await identity.users.update(bob.user.id, { enabled: false })
  const answers: string[] = []
  for (const [name, word] of [
    ['alice3', 'wrong'],
    ['nobody', password],
    ['bob3', password],
    ['alice3', ''],
  ] as const) {
    const login = sessions.loginByPassword({ user: { name }, password: word, scope: 'unscoped' })
    answers.push(
      await login.then(
        () => 'in',
        (error) => `${error.code}: ${error.message}`,
      ),
    )
  }
  t.equal(new Set(answers).size, 1, String(answers[0]))
  t.match(answers[0], /^login_failed/)
})

t.test('a password that was right once is not right for ever', async (t) => {
  const { sessions, identity } = store.core
  const alice = await store.caller('alice4')
  const login = (word: string) =>
    sessions.loginByPassword({ user: { name: 'alice4' }, password: word, scope: 'unscoped' })
  const { token } = await login(password)
  await identity.users.update(alice.user.id, { password: 'another one' })
  await t.rejects(login(password), { code: 'login_failed' })
  await t.resolves(login('another one'))
  await t.rejects(sessions.authenticate(token), { code: 'token_invalid' }, 'tokens of the old password are revoked')
})

t.test('logging in again and again is cheap; each wrong guess is not', async (t) => {
  const { sessions } = store.core
  await store.caller('alice5')
  const login = (word: string) =>
    sessions.loginByPassword({ user: { name: 'alice5' }, password: word, scope: 'unscoped' }).catch(() => undefined)
  await login(password)
  // Counted in processor time of this process, which scrypt's threads are part of.
  const cost = async (work: () => Promise<unknown>) => {
    const before = process.cpuUsage()
    for (let i = 0; i < 2; i++) await work()
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  const right = await cost(() => login(password))
  const wrong = await cost(() => login('wrong'))
  t.ok(wrong > 5 * right, `right: ${right} µs, wrong: ${wrong} µs`)
})

t.test('too many logins at once are refused, not queued without bound', async (t) => {
  const { sessions } = store.core
  const attempts = Array.from({ length: 100 }, (_, i) =>
    sessions.loginByPassword({ user: { name: `user${i}` }, password, scope: 'unscoped' }).catch((error) => error.code),
  )
  const codes = new Set(await Promise.all(attempts))
  t.same([...codes].sort(), ['login_failed', 'too_many_logins'])
})

t.test('the catalog holds neither passwords nor tokens', async (t) => {
  await store.caller('alice7')
  const { token } = await store.core.sessions.loginByPassword({ user: { name: 'alice7' }, password, scope: 'unscoped' })
  const rows = JSON.stringify([
    await store.core.catalog.db.selectFrom('users').selectAll().execute(),
    await store.core.catalog.db.selectFrom('tokens').selectAll().execute(),
  ])
  t.notMatch(rows, password)
  t.notMatch(rows, token)
  t.match(rows, /scrypt\$16384\$8\$5\$/)
})

t.test('a token ends: revoked, expired, its user or project disabled, its role taken away', async (t) => {
  const { sessions, identity, catalog } = store.core
  const alice = await store.caller('alice8')
  const [role] = await identity.roles.list({ name: 'member' })
  const login = async () =>
    (await sessions.loginByPassword({ user: { name: 'alice8' }, password, scope: { project: { name: 'alice8' } } }))
      .token
  const ends = {
    revoked: (token: string) => sessions.revoke(token),
    expired: () =>
      catalog.transaction(({ db }) =>
        db
          .updateTable('tokens')
          .set({ expires_at: Date.now() - 1 })
          .execute(),
      ),
    'project disabled': () => identity.projects.update(alice.project.id, { enabled: false }),
    'project enabled again': () => identity.projects.update(alice.project.id, { enabled: true }),
    'role taken away': () =>
      identity.grants.unassign({ userId: alice.user.id, projectId: alice.project.id, roleId: role?.id as RoleId }),
  }
  for (const [words, end] of Object.entries(ends)) {
    if (words === 'project enabled again') {
      await end('')
      continue
    }
    const token = await login()
    await t.resolves(sessions.authenticate(token))
    await end(token)
    await t.rejects(sessions.authenticate(token), { code: 'token_invalid', status: 401 }, words)
  }
  await t.rejects(login(), { code: 'login_failed' })
  for (const token of ['', 'x', 'x'.repeat(100_000)])
    await t.rejects(sessions.authenticate(token), { code: 'token_invalid' })
})

t.test('what a token may do is what the catalog says at that moment, whoever changed it', async (t) => {
  const { sessions, identity, catalog } = store.core
  const { user, project } = await store.caller('alice11')
  const [admin] = await identity.roles.list({ name: 'admin' })
  const assignment = { userId: user.id, projectId: project.id, roleId: admin?.id as RoleId }
  const login = () =>
    sessions.loginByPassword({ user: { id: user.id }, password, scope: { project: { id: project.id } } })
  const { token, session } = await login()
  const isAdmin = async () => (await sessions.authenticate(token)).caller.isAdmin
  const refusal = { code: 'token_invalid' }

  t.equal(await isAdmin(), false)
  t.equal(await sessions.authenticate(token), await sessions.authenticate(token), 'nothing is read twice')
  await identity.grants.assign(assignment)
  t.equal(await isAdmin(), true)
  await identity.grants.unassign(assignment)
  t.equal(await isAdmin(), false)

  // Another process, such as `atoll user`.
  const other = new Database(join(store.dataDir, 'catalog.db'))
  other.prepare('update users set enabled = 0 where id = ?').run(user.id)
  await t.rejects(sessions.authenticate(token), refusal)
  other.prepare('update users set enabled = 1 where id = ?').run(user.id)
  await t.resolves(sessions.authenticate(token))
  other.close()

  // What is not committed is not so, neither before the end of a transaction nor after one that failed.
  await t.rejects(
    catalog.transaction(async ({ db }) => {
      await db.deleteFrom('grants').where('actor_id', '=', user.id).execute()
      throw new Error('no')
    }),
    { message: 'no' },
  )
  await t.resolves(sessions.authenticate(token))

  // Nothing is committed when a token expires.
  const now = t.intercept(Date, 'now', { value: () => session.expiresAt })
  await t.rejects(sessions.authenticate(token), refusal)
  now.restore()
  await t.resolves(sessions.authenticate(token))

  await identity.users.update(user.id, { password: 'another password' })
  await t.rejects(sessions.authenticate(token), refusal)
  await identity.users.update(user.id, { password })
  const second = (await login()).token
  await t.resolves(sessions.authenticate(second))
  await identity.users.delete(user.id)
  await t.rejects(sessions.authenticate(second), refusal)
})

t.test('a token from a token lives no longer than the first', async (t) => {
  const { sessions } = store.core
  await store.caller('alice9')
  const first = await sessions.loginByPassword({ user: { name: 'alice9' }, password, scope: 'unscoped' })
  const second = await sessions.loginByToken({ token: first.token, scope: { project: { name: 'alice9' } } })
  t.equal(second.session.expiresAt, first.session.expiresAt)
  t.same(second.session.methods, ['password', 'token'])
  t.equal(second.session.auditIds[1], first.session.auditIds[0])
  t.not(second.token, first.token)
})

t.test('expired tokens are purged, others stay', async (t) => {
  const { sessions, catalog } = store.core
  await store.caller('alice10')
  const login = () => sessions.loginByPassword({ user: { name: 'alice10' }, password, scope: 'unscoped' })
  await sessions.purge()
  const { session } = await login()
  const [auditId] = session.auditIds as [string]
  await catalog.transaction(({ db }) =>
    db.updateTable('tokens').set({ expires_at: 1 }).where('audit_id', '=', auditId).execute(),
  )
  const { token } = await login()
  t.equal(await sessions.purge(), 1)
  await t.resolves(sessions.authenticate(token))
})

t.test('roles: admin, member and reader may what their names say', async (t) => {
  t.match(await store.caller('an-admin', 'admin'), { isAdmin: true, canWrite: true })
  t.match(await store.caller('a-member', 'member'), { isAdmin: false, canWrite: true })
  t.match(await store.caller('a-reader', 'reader'), { isAdmin: false, canWrite: false })
  t.same(
    (await store.core.identity.roles.list()).map(({ name }) => name),
    ['admin', 'member', 'reader'],
  )
})

t.test('names are taken once, and are what people can type', async (t) => {
  const { identity } = store.core
  await store.caller('alice12')
  await t.rejects(identity.users.create({ name: 'alice12', password }), { code: 'name_taken', status: 409 })
  await t.rejects(identity.projects.create({ name: 'alice12' }), { code: 'name_taken' })
  for (const name of ['', 'a\nb', 'x'.repeat(256)])
    await t.rejects(identity.users.create({ name, password }), refused(400))
  for (const word of ['', 'x'.repeat(1025)]) {
    await t.rejects(identity.users.create({ name: 'bob12', password: word }), { code: 'bad_password' })
  }
  t.same(await identity.users.list({ name: 'bob12' }), [])
})

t.test('a deleted user is gone with its tokens and roles', async (t) => {
  const { identity, sessions } = store.core
  const alice = await store.caller('alice13')
  const { token } = await sessions.loginByPassword({ user: { name: 'alice13' }, password, scope: 'unscoped' })
  await identity.users.delete(alice.user.id)
  await t.rejects(sessions.authenticate(token), { code: 'token_invalid' })
  t.same(await identity.grants.assignments({ userId: alice.user.id }), [])
  await t.rejects(identity.users.get(alice.user.id), { code: 'user_not_found' })
})

t.test('an assignment can be given twice and taken once', async (t) => {
  const { identity } = store.core
  const alice = await store.caller('alice14')
  const project = await identity.projects.create({ name: 'p' })
  const [role] = await identity.roles.list({ name: 'reader' })
  const assignment = { userId: alice.user.id, projectId: project.id, roleId: role?.id as RoleId }
  await identity.grants.assign(assignment)
  await identity.grants.assign(assignment)
  t.equal((await identity.grants.assignments({ projectId: project.id })).length, 1)
  t.same(
    (await collected(identity.projects.slices({ userId: alice.user.id }))).map(({ name }) => name),
    ['alice14', 'p'],
  )
  await identity.grants.unassign(assignment)
  await t.rejects(identity.grants.unassign(assignment), { code: 'assignment_not_found' })
})

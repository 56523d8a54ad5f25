// Which tokens end with what, and what is decided in the transaction that issues one.

import t from 'tap'
import type { Catalog } from '../../../src/catalog/catalog.js'
import type { RoleId } from '../../../src/lib/ids.js'
import { replaceTransaction } from '../together/repeated.js'
import { TestStore } from '../support.js'

const password = 'a password'
const store = await TestStore.open(t)
const { catalog, identity, sessions } = store.core

const login = (name: string) =>
  sessions.loginByPassword({ user: { name }, password, scope: { project: { name } } }).then(({ token }) => token)
const rescope = (token: string, name: string) =>
  sessions.loginByToken({ token, scope: { project: { name } } }).then((login) => login.token)
const isValid = (token: string) =>
  sessions.authenticate(token).then(
    () => true,
    () => false,
  )

/** Runs `change` after the next transaction was asked for, and before it begins. */
function beforeNextTransaction(catalog: Catalog, change: () => Promise<unknown>): void {
  const undo = replaceTransaction(catalog, (original) => async (work) => {
    undo()
    await change()
    return original(work)
  })
}

t.test('revoking a token ends what was obtained with it, also through others, and nothing else', async (t) => {
  await store.caller('alice1')
  const root = await login('alice1')
  const [left, right] = [await rescope(root, 'alice1'), await rescope(root, 'alice1')]
  const below = await rescope(await rescope(left, 'alice1'), 'alice1')
  const other = await login('alice1')
  const valid = async () => {
    const states = await Promise.all([root, left, below, right, other].map(isValid))
    return states.map(Number).join('')
  }
  t.equal(await valid(), '11111')
  await sessions.revoke(left)
  t.equal(await valid(), '10011')
  await sessions.revoke(root)
  t.equal(await valid(), '00001')
})

t.test('a chain of any length ends with its first token', async (t) => {
  await store.caller('alice2')
  const root = await login('alice2')
  let last = root
  // SQLite's own limit for deletes that cascade is 1000.
  for (let i = 0; i < 1100; i++) last = await rescope(last, 'alice2')
  t.ok(await isValid(last))
  await sessions.revoke(root)
  t.notOk(await isValid(last))
  const { user } = (await sessions.authenticate(await login('alice2'))).caller
  const left = await catalog.db.selectFrom('tokens').select('hash').where('user_id', '=', user.id).execute()
  t.equal(left.length, 1)
})

t.test('no token comes of a token that is revoked meanwhile', async (t) => {
  await store.caller('alice3')
  const root = await login('alice3')
  const child = await rescope(root, 'alice3')
  beforeNextTransaction(catalog, () => sessions.revoke(root))
  await t.rejects(rescope(child, 'alice3'), { code: 'token_invalid' })
})

t.test('disabling a project ends its tokens and those obtained with them', async (t) => {
  const { user, project } = await store.caller('alice4')
  await identity.projects.create({ name: 'second4' })
  const [member] = await identity.roles.list({ name: 'member' })
  const [second] = await identity.projects.list({ name: 'second4' })
  await identity.grants.assign({ userId: user.id, projectId: second?.id as never, roleId: member?.id as RoleId })
  const first = await login('alice4')
  const derived = await rescope(first, 'second4')
  await identity.projects.update(project.id, { enabled: false })
  t.notOk(await isValid(first))
  t.notOk(await isValid(derived))
})

for (const [words, change] of Object.entries({
  'the password is changed': (userId: string) => identity.users.update(userId, { password: 'another' }),
  'the user is disabled': (userId: string) => identity.users.update(userId, { enabled: false }),
  'the user is deleted': (userId: string) => identity.users.delete(userId),
  'the project is disabled': (_: string, projectId: string) => identity.projects.update(projectId, { enabled: false }),
  'the role is taken away': async (userId: string, projectId: string) => {
    const [found] = await identity.grants.assignments({ userId, projectId })
    if (found === undefined) throw new Error('no assignment')
    await identity.grants.unassign({ userId, projectId, roleId: found.role.id })
  },
})) {
  t.test(`a login gets no token when ${words} after the password was verified`, async (t) => {
    const name = words.replaceAll(' ', '-')
    const { user, project } = await store.caller(name)
    beforeNextTransaction(catalog, () => change(user.id, project.id))
    await t.rejects(login(name), { code: 'login_failed' })
    const rows = await catalog.db.selectFrom('tokens').select('hash').where('user_id', '=', user.id).execute()
    t.same(rows, [])
  })
}

t.test('a new password of one’s own needs the old one at the moment it is stored, and ends all tokens', async (t) => {
  const { user } = await store.caller('alice5')
  const change = (original: string, next: string) =>
    sessions.changePassword({ userId: user.id, original, password: next })
  const token = await login('alice5')
  await t.rejects(change('wrong', 'x'), { code: 'login_failed' })
  t.ok(await isValid(token))
  // An administrator resets the password of an account whose old password somebody else knows.
  beforeNextTransaction(catalog, () => identity.users.update(user.id, { password: 'set by an administrator' }))
  await t.rejects(change(password, 'set by the other'), { code: 'login_failed' })
  t.notOk(await isValid(token))
  await t.resolves(change('set by an administrator', password))
  await t.resolves(login('alice5'))
})

t.test('what an administrator changes is refused when the role is taken away meanwhile', async (t) => {
  const boss = await store.caller('boss6', 'admin')
  const { user, project } = await store.caller('alice6')
  const [member] = await identity.roles.list({ name: 'member' })
  const assignment = { userId: user.id, projectId: project.id, roleId: member?.id as RoleId }
  const [own] = await identity.grants.assignments({ userId: boss.user.id })
  const role = { userId: boss.user.id, projectId: boss.project.id, roleId: own?.role.id as RoleId }
  const changes: Record<string, () => Promise<unknown>> = {
    createUser: () => identity.users.create({ name: 'new6', password }, boss),
    updateUser: () => identity.users.update(user.id, { password: 'mine' }, boss),
    deleteUser: () => identity.users.delete(user.id, boss),
    createProject: () => identity.projects.create({ name: 'new6' }, boss),
    updateProject: () => identity.projects.update(project.id, { enabled: false }, boss),
    assign: () => identity.grants.assign(assignment, boss),
    unassign: () => identity.grants.unassign(assignment, boss),
  }
  for (const [name, work] of Object.entries(changes)) {
    beforeNextTransaction(catalog, () => identity.grants.unassign(role))
    await t.rejects(work(), { code: 'token_invalid' }, name)
    await identity.grants.assign(role)
  }
  t.ok(await login('alice6'))
  t.same(await identity.users.list({ name: 'new6' }), [])
})

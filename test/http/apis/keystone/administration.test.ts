import t from 'tap'
import { startServer } from '../../../../testkit/server.js'

t.test('administration', async (t) => {
  const server = await startServer(t)
  const admin = await server.login()
  const alice = await server.login(await server.createUser({ name: 'alice', project: 'blue' }))

  t.test('an admin creates, finds, changes and deletes a user', async (t) => {
    const user = { name: 'dora', password: 'secret', description: 'd', email: 'dora@example.org', domain_id: 'default' }
    const created = await admin.ask('/v3/users', { method: 'POST', json: { user } })
    t.equal(created.status, 201)
    const { id } = created.json.user
    t.match(created.json.user, {
      name: 'dora',
      domain_id: 'default',
      enabled: true,
      email: 'dora@example.org',
      links: { self: `${server.url}/v3/users/${id}` },
    })
    t.notOk(created.text.includes('secret'))
    t.equal((await admin.ask('/v3/users?name=dora')).json.users.length, 1)
    t.equal((await admin.ask('/v3/users?name=dora&domain_id=other')).json.users.length, 0)
    t.equal((await admin.ask('/v3/users/dora')).status, 404)
    const patched = await admin.ask(`/v3/users/${id}`, { method: 'PATCH', json: { user: { enabled: false } } })
    t.match(patched.json.user, { enabled: false, name: 'dora' })
    t.equal((await admin.ask('/v3/users', { method: 'POST', json: { user } })).status, 409)
    t.equal((await admin.ask(`/v3/users/${id}`, { method: 'DELETE' })).status, 204)
    t.equal((await admin.ask(`/v3/users/${id}`)).status, 404)
  })

  t.test('a user given a role in a project can log in to it, and no longer once it is taken away', async (t) => {
    const project = (await admin.ask('/v3/projects', { method: 'POST', json: { project: { name: 'lab' } } })).json
      .project
    const user = (await admin.ask('/v3/users', { method: 'POST', json: { user: { name: 'eve', password: 'pw' } } }))
      .json.user
    const [role] = (await admin.ask('/v3/roles?name=member')).json.roles
    const path = `/v3/projects/${project.id}/users/${user.id}/roles/${role.id}`
    const credentials = { user: 'eve', password: 'pw', project: 'lab' }
    await t.rejects(server.login(credentials))
    t.equal((await admin.ask(path, { method: 'HEAD' })).status, 404)
    t.equal((await admin.ask(path, { method: 'PUT' })).status, 204)
    t.equal((await admin.ask(path, { method: 'HEAD' })).status, 204)
    const session = await server.login(credentials)
    t.equal((await session.ask('', { method: 'HEAD' })).status, 204)
    const assignments = (await admin.ask(`/v3/role_assignments?user.id=${user.id}&include_names=True`)).json
    t.match(assignments.role_assignments, [
      { role: { name: 'member' }, user: { name: 'eve' }, scope: { project: { name: 'lab' } } },
    ])
    t.equal((await admin.ask(path, { method: 'DELETE' })).status, 204)
    t.equal((await session.ask('', { method: 'HEAD' })).status < 300, false)
    await t.rejects(server.login(credentials))
  })

  t.test('others look at themselves alone, and change nothing', async (t) => {
    t.match((await alice.ask(`/v3/users/${alice.userId}`)).json.user, { name: 'alice' })
    t.match((await alice.ask(`/v3/projects/${alice.projectId}`)).json.project, { name: 'blue' })
    t.match((await alice.ask(`/v3/users/${alice.userId}/projects`)).json.projects, [{ name: 'blue' }])
    for (const [method, path] of [
      ['GET', '/v3/users'],
      ['GET', `/v3/users/${admin.userId}`],
      ['GET', `/v3/users/${admin.userId}/projects`],
      ['POST', '/v3/users'],
      ['PATCH', `/v3/users/${alice.userId}`],
      ['DELETE', `/v3/users/${alice.userId}`],
      ['GET', '/v3/projects'],
      ['GET', `/v3/projects/${admin.projectId}`],
      ['POST', '/v3/projects'],
      ['GET', '/v3/roles'],
      ['GET', '/v3/role_assignments'],
      ['GET', '/v3/domains'],
      ['GET', '/v3/services'],
      ['GET', '/v3/endpoints'],
      ['PUT', `/v3/projects/${alice.projectId}/users/${alice.userId}/roles/x`],
    ] as const) {
      const answer = await alice.ask(path, { method, body: '{}' })
      t.equal(answer.status, 403, `${method} ${path}`)
      t.match(answer.json.error, { code: 403, title: 'Forbidden' })
    }
  })

  t.test('anyone changes their own password by naming the old one', async (t) => {
    const credentials = await server.createUser({ name: 'frank', project: 'blue' })
    const frank = await server.login(credentials)
    const path = `/v3/users/${frank.userId}/password`
    const change = (original: string) =>
      frank.ask(path, { method: 'POST', json: { user: { original_password: original, password: 'new one' } } })
    t.equal((await change('wrong')).status, 401)
    t.equal((await change(credentials.password)).status, 204)
    t.equal((await frank.ask(`/v3/users/${frank.userId}`)).status, 401, 'tokens of the old password are revoked')
    await t.rejects(server.login(credentials))
    t.ok((await server.login({ ...credentials, password: 'new one' })).token)
  })

  t.test('services, endpoints and regions are there to read', async (t) => {
    const { services } = (await admin.ask('/v3/services')).json
    t.same(services.map(({ type }: { type: string }) => type).sort(), [
      'block-storage',
      'identity',
      'image',
      'object-store',
      'volumev3',
    ])
    const { endpoints } = (await admin.ask('/v3/endpoints?interface=public')).json
    t.equal(endpoints.length, 5)
    t.match(JSON.stringify(endpoints), /AUTH_\$\(project_id\)s/)
    t.match((await admin.ask('/v3/regions')).json.regions, [{ id: 'RegionOne' }])
  })

  t.test('fields of the wrong kind are 400', async (t) => {
    for (const user of [
      null,
      {},
      { name: '', password: 'p' },
      { name: 5, password: 'p' },
      { name: 'x', password: ['p'] },
      { name: 'x', password: 'p', enabled: 'yes' },
      { name: 'x', password: 'p', domain_id: 5 },
      { name: 'x'.repeat(5000), password: 'p' },
    ]) {
      t.equal((await admin.ask('/v3/users', { method: 'POST', json: { user } })).status, 400, JSON.stringify(user))
    }
  })
})

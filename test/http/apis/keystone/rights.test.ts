// What groups, inherited grants, implied roles and domains give and take, seen through the services.

import t from 'tap'
import { ask } from '../../../../testkit/http.js'
import { startServer } from '../../../../testkit/server.js'

const server = await startServer(t)
const { identity } = server.core
const admin = await server.login()
const bob = await server.createUser({ name: 'bob' })
const bobs = await server.login(bob)

async function made(path: string, json: object): Promise<{ id: string }> {
  const answer = await admin.ask(`/v3/${path}`, { method: 'POST', json })
  t.equal(answer.status, 201, `${path}: ${answer.text}`)
  return Object.values(answer.json)[0] as { id: string }
}

const change = async (method: string, path: string, json?: object) =>
  (await admin.ask(`/v3/${path}`, { method, ...(json && { json }) })).status
const roleId = async (name: string) => (await identity.roles.list({ name }))[0]?.id ?? ''
const member = await roleId('member')
const reader = await roleId('reader')

/** Bob's login for a project or domain: the status, and the names of the roles. */
async function login(scope: object): Promise<{ status: number; roles: string[]; token: string }> {
  const user = { name: 'bob', domain: { id: 'default' }, password: bob.password }
  const json = { auth: { identity: { methods: ['password'], password: { user } }, scope } }
  const answer = await ask(`${server.url}/v3/auth/tokens`, { method: 'POST', json })
  const roles = ((answer.json?.token?.roles ?? []) as { name: string }[]).map(({ name }) => name)
  return { status: answer.status, roles, token: String(answer.headers['x-subject-token']) }
}

t.test(
  'what is granted to a group is its members’, and ends with the membership, the grant and the group',
  async (t) => {
    const project = await made('projects', { project: { name: 'of-group' } })
    const group = await made('groups', { group: { name: 'team' } })
    const scope = { project: { id: project.id } }
    const grant = `projects/${project.id}/groups/${group.id}/roles/${member}`
    const membership = `groups/${group.id}/users/${bobs.userId}`
    t.equal(await change('PUT', grant), 204)
    t.equal((await login(scope)).status, 401, 'no member yet')
    const ends: [string, () => Promise<number>, () => Promise<number>][] = [
      ['the membership', () => change('DELETE', membership), () => change('PUT', membership)],
      ['the grant', () => change('DELETE', grant), () => change('PUT', grant)],
    ]
    t.equal(await change('PUT', membership), 204)
    for (const [what, end, begin] of ends) {
      const { status, token } = await login(scope)
      t.equal(status, 201, what)
      const container = { method: 'PUT', headers: { 'x-auth-token': token } }
      const url = `${server.url}/v1/AUTH_${project.id}/c`
      t.ok((await ask(url, container)).status < 300)
      t.equal(await end(), 204)
      t.equal((await ask(url, container)).status, 401, `${what} has ended`)
      t.equal(await begin(), 204)
    }
    const { token } = await login(scope)
    t.equal(await change('DELETE', `groups/${group.id}`), 204)
    t.equal((await ask(`${server.url}/v3/auth/catalog`, { headers: { 'x-auth-token': token } })).status, 401)
    t.equal(await change('GET', membership), 404)
  },
)

t.test('an inherited grant holds below its target only, and ends a request under way', async (t) => {
  const domain = await made('domains', { domain: { name: 'tree' } })
  const parent = await made('projects', { project: { name: 'parent', domain_id: domain.id } })
  const child = await made('projects', { project: { name: 'child', parent_id: parent.id } })
  const grant = `OS-INHERIT/projects/${parent.id}/users/${bobs.userId}/roles/${member}/inherited_to_projects`
  t.equal(await change('PUT', grant), 204)
  t.equal((await login({ project: { id: parent.id } })).status, 401)
  t.same((await login({ project: { name: 'child', domain: { name: 'tree' } } })).roles, ['member'])
  const caller = (await server.core.sessions.authenticate((await login({ project: { id: child.id } })).token)).caller
  const ended = new Promise<Error>((resolve) => server.core.rights.caller(caller, resolve))
  t.equal(await change('DELETE', grant), 204)
  t.match(await ended, { code: 'token_invalid' })

  const ofDomain = `OS-INHERIT/domains/${domain.id}/users/${bobs.userId}/roles/${reader}/inherited_to_projects`
  t.equal(await change('PUT', ofDomain), 204)
  t.equal((await login({ domain: { id: domain.id } })).status, 401, 'not on the domain itself')
  t.same((await login({ project: { id: child.id } })).roles, ['reader'])
  const listed = await admin.ask(`/v3/role_assignments?effective&scope.project.id=${child.id}&user.id=${bobs.userId}`)
  t.match(listed.json.role_assignments, [{ role: { id: reader }, scope: { project: { id: child.id } } }])
  const { token } = await login({ project: { id: child.id } })
  t.equal(await change('DELETE', `domains/${domain.id}`), 403, 'it is enabled')
  t.equal(await change('PATCH', `domains/${domain.id}`, { domain: { enabled: false } }), 200)
  t.equal((await ask(`${server.url}/v3/auth/catalog`, { headers: { 'x-auth-token': token } })).status, 401)
  t.equal((await login({ project: { id: child.id } })).status, 401, 'the domain is disabled')
  t.equal(await change('DELETE', `domains/${domain.id}`), 204)
  t.equal(await change('GET', `projects/${child.id}`), 404)
})

t.test('a role implies others; one of a domain grants only what it implies', async (t) => {
  const domain = await made('domains', { domain: { name: 'roles' } })
  const project = await made('projects', { project: { name: 'p', domain_id: domain.id } })
  const own = await made('roles', { role: { name: 'admin', domain_id: domain.id } })
  t.equal(await change('PUT', `projects/${project.id}/users/${bobs.userId}/roles/${own.id}`), 204)
  t.equal((await login({ project: { id: project.id } })).status, 401, 'a role named admin of a domain is nothing')
  t.equal(await change('PUT', `roles/${own.id}/implies/${member}`), 201)
  t.same((await login({ project: { id: project.id } })).roles, ['member'])
  t.equal(await change('PUT', `roles/${own.id}/implies/${await roleId('admin')}`), 403)
  t.equal(await change('PUT', `roles/${member}/implies/${own.id}`), 403)
  t.equal(await change('DELETE', `roles/${own.id}/implies/${member}`), 204)
  t.equal((await login({ project: { id: project.id } })).status, 401)
  for (const name of ['admin', 'member', 'reader'])
    t.equal(await change('DELETE', `roles/${await roleId(name)}`), 403, `${name} stays`)
  t.equal(await change('PUT', `projects/default/users/${bobs.userId}/roles/${own.id}`), 404, 'a domain is no project')
})

t.test('a token for a domain has no project, and one for the system needs a grant on it', async (t) => {
  t.equal(await change('PUT', `domains/default/users/${bobs.userId}/roles/${member}`), 204)
  const { token, roles } = await login({ domain: { name: 'Default' } })
  t.same(roles, ['member'])
  const headers = { 'x-auth-token': token }
  const catalog = await ask(`${server.url}/v3/auth/catalog`, { headers })
  const urls = (catalog.json.catalog as { endpoints: { url: string }[] }[]).flatMap(({ endpoints }) => endpoints)
  t.ok(urls.length > 0 && urls.every(({ url }) => !url.includes('$(')))
  t.equal((await ask(`${server.url}/volume/v3/volumes`, { headers })).status, 403)
  t.equal((await ask(`${server.url}/v1/AUTH_default`, { headers })).status, 403)
  t.equal((await admin.ask('/v1/AUTH_default')).status, 404, 'a domain has no account')
  t.equal((await login({ system: { all: true } })).status, 401)
  t.equal(await change('PUT', `system/users/${bobs.userId}/roles/${reader}`), 204)
  t.same((await login({ system: { all: true } })).roles, ['reader'])
  t.equal(await change('DELETE', `system/users/${bobs.userId}/roles/${reader}`), 204)
})

t.test('a project that owns something is not deleted; an empty one takes its grants and tokens along', async (t) => {
  const project = await made('projects', { project: { name: 'owner', tags: ['x'] } })
  t.equal(await change('PUT', `projects/${project.id}/users/${bobs.userId}/roles/${member}`), 204)
  const { token } = await login({ project: { id: project.id } })
  const headers = { 'x-auth-token': token }
  const container = `${server.url}/v1/AUTH_${project.id}/c`
  t.equal((await ask(container, { method: 'PUT', headers })).status, 201)
  const refused = await admin.ask(`/v3/projects/${project.id}`, { method: 'DELETE' })
  t.match(refused, { status: 409, json: { error: { message: /still owns containers/ } } })
  t.equal((await ask(container, { method: 'DELETE', headers })).status, 204)
  const child = await made('projects', { project: { name: 'below', parent_id: project.id } })
  t.equal(await change('DELETE', `projects/${project.id}`), 403)
  t.equal(await change('PATCH', `projects/${project.id}`, { project: { enabled: false } }), 403)
  t.equal(await change('DELETE', `projects/${child.id}`), 204)
  t.equal(await change('DELETE', `projects/${project.id}`), 204)
  t.equal((await ask(container, { method: 'PUT', headers })).status, 401)
  t.same(await identity.grants.assignments({ projectId: project.id }), [])
})

t.test('members of a body that the server does not know are kept, within a limit', async (t) => {
  const project = await made('projects', { project: { name: 'extra', color: 'blue', id: 'mine', links: 1 } })
  const shown = (await admin.ask(`/v3/projects/${project.id}`)).json.project
  t.match(shown, { color: 'blue', id: project.id, links: { self: String } })
  t.equal(await change('PATCH', `projects/${project.id}`, { project: { color: null } }), 200)
  t.equal('color' in (await admin.ask(`/v3/projects/${project.id}`)).json.project, false)
  t.equal(await change('PATCH', `projects/${project.id}`, { project: { long: 'x'.repeat(20_000) } }), 400)
})

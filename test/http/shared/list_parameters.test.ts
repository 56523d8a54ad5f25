// A query parameter of a list is honored or refused, never ignored: the tables of the APIs, call by call, and parameters of the
// real services that are not served here.

import t from 'tap'
import { cinderParameters } from '../../../src/http/apis/cinder/requests/parameters.js'
import { identityParameters } from '../../../src/http/apis/keystone/requests/parameters.js'
import type { Answer } from '../../../testkit/http.js'
import { startServer } from '../../../testkit/server.js'
import { attach, createSnapshot, createVolume } from '../apis/cinder/support.js'

const server = await startServer(t, { nbd: true })
const admin = await server.login()
const bob = await server.login(await server.createUser({ name: 'bob' }))
const volumes = `/volume/v3/${admin.projectId}`
const { id: volumeId } = await createVolume(admin, { name: 'mine', metadata: { a: 'b' } })
await createVolume(bob, { name: 'of bob' })
await createSnapshot(admin, volumeId, { name: 'shot' })
await attach(admin, volumeId)
await admin.ask('box', { method: 'PUT' })

const filled = (route: string, id: string) => route.replace(/:\w+/, id)
const latest = { 'openstack-api-version': 'volume 3.70' }

t.test('a parameter that no call knows, and one given twice, are 400 in the form of the API', async (t) => {
  const lists: [path: string, known: string, form: RegExp][] = [
    ...Object.entries(identityParameters).map(([route, [known]]): [string, string, RegExp] => [
      `/v3${filled(route, admin.userId)}`,
      known,
      /^\{"error":\{"code":400,"title":"Bad Request","message"/,
    ]),
    ...Object.entries(cinderParameters).map(([route, [known = '']]): [string, string, RegExp] => [
      `${volumes}${filled(route, admin.projectId)}`,
      known,
      /^\{"badRequest":\{"code":400,"message"/,
    ]),
    ['/image/v2/images', 'name', /<h1>400 Bad Request<\/h1>/],
    [new URL(admin.storageUrl).pathname, 'prefix', /query parameter/],
    [`${new URL(admin.storageUrl).pathname}/box`, 'prefix', /query parameter/],
  ]
  t.ok(lists.length > 25)
  const unknown = (path: string) => (path.startsWith('/image') ? 'virtual_size=1' : 'colour=red')
  for (const [path, known, form] of lists)
    for (const query of [unknown(path), `${known}=1&${known}=1`]) {
      const headers = { ...latest, ...(path.startsWith('/image') ? {} : {}), 'x-subject-token': admin.token }
      const answer = await admin.ask(`${path}?${query}`, { headers })
      t.equal(answer.status, 400, `${path}?${query}`)
      t.match(answer.text, form, `${path}?${query}`)
    }
})

t.test('calls that are no lists take no parameters but their own', async (t) => {
  for (const path of [
    '/v3/users/ID?x=1',
    '/v3/projects/ID?parents',
    '/image/v2/images/ID?x=1',
    '/image/v2/schemas/image?x=1',
  ])
    t.equal((await admin.ask(path.replace('ID', admin.userId))).status, 400, path)
  for (const path of [`/volumes/${volumeId}?x=1`, '/os-availability-zone?x=1', '/types/default?x=1'])
    t.equal((await admin.ask(volumes + path)).status, 400, path)
  t.match(
    await admin.ask(`${volumes}/backups?all_tenants=1`),
    { status: 400, text: /Atoll does not support backups/ },
    'a call that is not supported is refused with any parameter',
  )
})

t.test('parameters of the real services that are not served are 400, at every microversion', async (t) => {
  for (const minor of [0, 30, 31, 70])
    for (const path of [
      ...['migration_status=x', 'group_id=x', 'glance_metadata={}', 'created_at=gt:2020', 'host=x', 'name~=x'].map(
        (query) => `volumes?${query}`,
      ),
      ...['consumes_quota=1', 'created_at=gt:2020', 'availability_zone=x'].map((query) => `snapshots?${query}`),
      'attachments?user_id=x',
      'types?extra_specs={}',
      'volumes/summary?limit=1',
    ]) {
      const answer = await admin.ask(`${volumes}/${path}`, {
        headers: { 'openstack-api-version': `volume 3.${minor}` },
      })
      const unknownYet = answer.status === 404 && minor < 27
      t.ok(answer.status === 400 || unknownYet, `3.${minor} ${path}: ${answer.status}`)
    }
  for (const query of [
    'password_expires_at=lt:2020',
    'idp_id=x',
    'unique_id=x',
    'limit=1',
    'marker=x',
    'sort_key=name',
  ])
    t.equal((await admin.ask(`/v3/users?${query}`)).status, 400, query)
})

/** How many are in the one list of an answer. */
function count(answer: Answer): number {
  t.equal(answer.status, 200)
  return (Object.values(answer.json).find(Array.isArray) as unknown[]).length
}

t.test('filters of the Identity API filter', async (t) => {
  const of = async (path: string) => count(await admin.ask(`/v3/${path}`))
  for (const [path, expected] of [
    ['users', 2],
    ['users?name__contains=dmi', 1],
    ['users?name__icontains=DMI', 1],
    ['users?name__contains=DMI', 0],
    ['users?name__startswith=b', 1],
    ['users?name__iendswith=OB', 1],
    ['users?name__endswith=x', 0],
    ['users?enabled=', 2],
    ['users?enabled=0', 0],
    ['users?domain_id=other', 0],
    ['users?default_project_id=x', 0],
    ['projects', 2],
    ['projects?parent_id=default', 2],
    ['projects?parent_id=x', 0],
    ['projects?is_domain=true', 1],
    ['projects?is_domain=false', 2],
    ['projects?tags=x', 0],
    ['projects?tags-any=x', 0],
    ['projects?not-tags=x', 2],
    ['projects?not-tags-any=x,y', 2],
    [`users/${bob.userId}/projects?name=bob`, 1],
    [`users/${bob.userId}/projects?name=x`, 0],
    ['auth/projects?domain_id=x', 0],
    ['roles?name=member', 1],
    ['roles?domain_id=x', 0],
    ['role_assignments', 2],
    ['role_assignments?scope.system=all', 0],
    ['role_assignments?scope.domain.id=default', 0],
    ['role_assignments?scope.OS-INHERIT:inherited_to=projects', 0],
    ['role_assignments?group.id=x', 0],
    [`role_assignments?scope.project.id=${bob.projectId}&include_subtree`, 1],
    ['role_assignments?effective', 2],
    [`users/${bob.userId}/groups?name=x`, 0],
    ['groups?domain_id=x', 0],
    ['credentials?type=ec2', 0],
    ['domains?enabled=false', 0],
    ['services?type=image', 1],
    ['endpoints?interface=public', 5],
    ['endpoints?region_id=x', 0],
    ['regions?parent_region_id=x', 0],
  ] as const)
    t.equal(await of(path), expected, path)
  for (const path of ['users?enabled=maybe', 'role_assignments?include_subtree', 'role_assignments?effective=maybe'])
    t.equal((await admin.ask(`/v3/${path}`)).status, 400, path)
})

t.test('filters of the block storage API filter', async (t) => {
  for (const [path, expected] of [
    ['volumes', 1],
    ['volumes?all_tenants=1', 2],
    [`volumes?all_tenants=1&user_id=${bob.userId}`, 1],
    ['volumes?all_tenants=1&user_id=x', 0],
    [`volumes?all_tenants=1&project_id=${bob.projectId}`, 1],
    [`volumes?project_id=${bob.projectId}`, 0],
    [`volumes?tenant_id=${admin.projectId}`, 1],
    ['volumes?display_name=mine', 1],
    ['volumes?display_name=x', 0],
    [`snapshots?user_id=${admin.userId}`, 1],
    ['snapshots?user_id=x', 0],
    ["snapshots?metadata={'a':'b'}", 0],
    ['attachments?project_id=x', 0],
    ['types?limit=0', 0],
    ['types?is_public=None', 1],
    ['types?is_public=false', 0],
  ] as const)
    t.equal(count(await admin.ask(`${volumes}/${path}`, { headers: latest })), expected, path)
  const asBob = `/volume/v3/${bob.projectId}`
  t.equal(count(await bob.ask(`${asBob}/volumes?all_tenants=1&project_id=${admin.projectId}`)), 0, 'of another project')
  t.equal((await bob.ask(`${asBob}/limits?project_id=${admin.projectId}`)).status, 403)
  for (const path of [
    'volumes?project_id=x&tenant_id=y',
    'volumes?with_count=maybe',
    'types?is_public=maybe',
    'types?marker=x',
    `os-quota-sets/${admin.projectId}?usage=maybe`,
  ])
    t.equal((await admin.ask(`${volumes}/${path}`, { headers: latest })).status, 400, path)
  const before = { 'openstack-api-version': 'volume 3.44' }
  t.equal((await admin.ask(`${volumes}/volumes?with_count=true`, { headers: before })).status, 400)
  for (const flag of ['cascade', 'force'])
    t.equal(
      (await admin.ask(`${volumes}/volumes/${volumeId}?${flag}=maybe`, { method: 'DELETE', headers: latest })).status,
      400,
    )
})

t.test('hundreds of conditions are 400, not an error of the catalog', async (t) => {
  const many = (text: (i: number) => string) => Array.from({ length: 990 }, (_, i) => text(i)).join('&')
  t.equal((await admin.ask(`/image/v2/images?${many((i) => `tag=t${i}`)}`)).status, 400)
  t.equal((await admin.ask(`/image/v2/images?${many((i) => `p${i}=v`)}`)).status, 400)
  const members = Array.from({ length: 990 }, (_, i) => `"k${i}":"v"`).join(',')
  t.equal((await admin.ask(`${volumes}/volumes?metadata=${encodeURIComponent(`{${members}}`)}`)).status, 400)
})

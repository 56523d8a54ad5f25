// Identity as python-openstackclient uses it.

import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { field, StockClients } from '../../../../testkit/stock_clients.js'

t.setTimeout(600_000)

const server = await startServer(t)
const clients = new StockClients(server.environment(), (line) => t.comment(`$ ${line}`))

t.test('openstack: token issue, catalog list, versions', async (t) => {
  const token = field(await clients.openstack('token', 'issue'), 'id')
  t.match(token, /^[\w-]{43}$/)
  const catalog = await clients.openstack('catalog', 'list')
  for (const path of ['/v3', '/v1/AUTH_', '/image', '/volume/v3/']) t.match(catalog, `public: ${server.url}${path}`)
  t.match(await clients.openstack('versions', 'show', '--service', 'identity'), /3\.\d+\s+\| CURRENT/)
  await clients.openstack('token', 'revoke', token)
  const headers = { 'x-auth-token': token }
  const admin = await server.login()
  t.equal((await admin.ask('/v3/auth/projects', { headers })).status, 401)
})

t.test('openstack: a token may be used instead of a password', async (t) => {
  const { token } = await server.login()
  const byToken = new StockClients(
    {
      OS_AUTH_TYPE: 'token',
      OS_TOKEN: token,
      OS_AUTH_URL: `${server.url}/v3`,
      OS_IDENTITY_API_VERSION: '3',
      OS_PROJECT_NAME: 'admin',
      OS_PROJECT_DOMAIN_NAME: 'Default',
    },
    (line) => t.comment(`$ ${line}`),
  )
  t.match(await byToken.openstack('project', 'list'), 'admin')
})

t.test('openstack: project, user, role: create, list, show, set, remove', async (t) => {
  t.match(await clients.openstack('project', 'create', 'lab', '--description', 'where it happens'), 'where it happens')
  t.match(await clients.openstack('project', 'list'), 'lab')
  const user = ['user', 'create', 'eve', '--password', 'pw', '--project', 'lab', '--email', 'eve@example.org']
  t.equal(field(await clients.openstack(...user), 'name'), 'eve')
  t.match(await clients.openstack('user', 'list'), 'eve')
  t.match(await clients.openstack('role', 'list'), /admin[\s\S]*member[\s\S]*reader/)
  await clients.openstack('role', 'add', '--user', 'eve', '--project', 'lab', 'member')
  t.match(
    await clients.openstack('role', 'assignment', 'list', '--names'),
    /member\s+\| eve@Default\s+\|\s+\| lab@Default/,
  )

  const session = await server.login({ user: 'eve', password: 'pw', project: 'lab' })
  t.equal((await session.ask('', { method: 'HEAD' })).status, 204)

  await clients.openstack('user', 'set', '--password', 'other', 'eve')
  t.equal((await session.ask('', { method: 'HEAD' })).status, 401)
  await clients.openstack('role', 'remove', '--user', 'eve', '--project', 'lab', 'member')
  await t.rejects(server.login({ user: 'eve', password: 'other', project: 'lab' }))
  t.match(await clients.openstack('user', 'show', 'eve'), 'eve@example.org')
  await clients.openstack('user', 'delete', 'eve')
  await t.rejects(clients.openstack('user', 'show', 'eve'), /No user/)
})

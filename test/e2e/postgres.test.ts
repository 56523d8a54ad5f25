// `atoll serve` with its catalog on PostgreSQL, used by the stock clients, with the database killed on the way.
//
// The tests of this file are one story: each goes on where the one before it ended.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PostgresServer } from '../../testkit/postgres.js'
import { atoll, startServerProcess } from '../../testkit/server_process.js'
import { field, StockClients } from '../../testkit/stock_clients.js'

t.setTimeout(300_000)

const postgres = await PostgresServer.start({ fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' })
t.teardown(() => postgres.stop())
const url = postgres.createDatabase()
// The first start names it, those after it know it.
const server = await startServerProcess(t, { environment: { ATOLL_CATALOG: url } })
const clients = new StockClients(await server.environment(), (line) => t.comment(`$ ${line}`))
const file = join(server.scratchDir, 'file')
writeFileSync(file, Buffer.alloc(3 << 20, 'atoll'))

t.test('a catalog on PostgreSQL: objects, images, volumes and snapshots by the stock clients', async (t) => {
  await clients.swift('upload', 'things', file, '--object-name', 'a')
  t.match(await clients.swift('stat', 'things', 'a'), `Content Length: ${3 << 20}`)
  t.match(await clients.swift('list', 'things'), /^a$/m)
  await clients.openstack('image', 'create', '--file', file, '--disk-format', 'raw', 'picture')
  t.match(await clients.openstack('image', 'show', 'picture'), /active/)
  const volume = field(await clients.openstack('volume', 'create', '--size', '1', '--image', 'picture', 'disk'), 'id')
  await clients.openstack('volume', 'snapshot', 'create', '--volume', volume, 'moment')
  t.match(await clients.openstack('volume', 'list'), /disk/)
  t.match(await clients.openstack('volume', 'snapshot', 'list'), /moment/)
})

t.test(
  'while PostgreSQL is away calls are answered 503 with Retry-After, and again within 2 s of its return',
  async (t) => {
    const swift = async (method: string) => {
      const [, storage = '', token = ''] = /OS_STORAGE_URL=(\S+)\s+export OS_AUTH_TOKEN=(\S+)/.exec(await auth) ?? []
      return fetch(`${storage}/things/b`, {
        method,
        headers: { 'x-auth-token': token },
        ...(method === 'PUT' && { body: 'b' }),
      })
    }
    const auth = clients.swift('auth')
    t.equal((await swift('PUT')).status, 201)
    await postgres.kill()
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await swift(method)
      t.equal(answer.status, 503, method)
      t.ok(answer.headers.get('retry-after'))
      t.notMatch(await answer.text(), /socket|ENOENT|ECONN/, 'nothing about the insides')
    }
    t.equal((await fetch(`${server.url}/healthcheck`)).status, 503)
    await postgres.run()
    const back = performance.now()
    while ((await swift('PUT')).status !== 201);
    t.ok(performance.now() - back < 2000)
    t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
  },
)

t.test('commands find the catalog by the data directory, and the check is clean', async (t) => {
  const password = join(server.scratchDir, 'password')
  writeFileSync(password, 'a password\n')
  const made = await atoll(
    'user',
    'create',
    'bob',
    '--project',
    'b',
    '--password-file',
    password,
    '--data',
    server.dataDir,
  )
  t.equal(made.exitCode, 0, made.all)
  const bob = { ...(await server.environment()), OS_USERNAME: 'bob', OS_PASSWORD: 'a password', OS_PROJECT_NAME: 'b' }
  await new StockClients(bob, (line) => t.comment(`$ ${line}`)).swift('post', 'mine')
  await server.stop()
  const checked = await server.check()
  t.equal(checked.exitCode, 0, checked.all)
})

t.test('another catalog than the one of the store is refused, and nothing is made in the data directory', async (t) => {
  const start = (place: string) => atoll('serve', '--data', server.dataDir, '--http', 'none', '--catalog', place)
  const other = await start(postgres.createDatabase())
  t.not(other.exitCode, 0)
  t.match(other.all, /not the one that belongs to the store/)
  const sqlite = await start('sqlite')
  t.not(sqlite.exitCode, 0)
  t.match(sqlite.all, /do not belong together/)
  const away = await start('postgres://localhost:1/catalog')
  t.not(away.exitCode, 0)
  t.match(away.all, /cannot be reached/)
})

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Catalog } from '../../src/catalog/catalog.js'
import { schemaVersionNow } from '../../src/catalog/migrate.js'
import { PostgresServer } from '../../testkit/postgres.js'

const server = await PostgresServer.start({ fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' })
t.teardown(() => server.stop())

const databaseOf = (url: string) => /\/(\w+)\?/.exec(url)?.[1] ?? ''

t.test('several processes that open an empty database make its schema once', async (t) => {
  const url = server.createDatabase()
  const catalogs = await Promise.all([1, 2, 3].map(() => Catalog.open({ url })))
  for (const catalog of catalogs) await catalog.close()
  t.equal(server.sql('select version from schema_version', databaseOf(url)).trim(), String(schemaVersionNow))
})

t.test('a database that is not fit for a catalog is refused with what to do', async (t) => {
  const refused = (url: string, message: RegExp, code = 'catalog_failed') =>
    t.rejects(Catalog.open({ url }), { code, message })

  const latin = server.createDatabase(`encoding 'LATIN1' locale 'C' template template0`)
  await refused(latin, /encoding LATIN1: make one with "create database/)

  const shared = server.createDatabase()
  server.sql('create table theirs (a int)', databaseOf(shared))
  await refused(shared, /already has tables of something else \(theirs\)/)

  const collated = server.createDatabase()
  await (await Catalog.open({ url: collated })).close()
  server.sql('alter table objects alter column name type text collate "en-x-icu"', databaseOf(collated))
  await refused(collated, /objects\.name has the collation "en-x-icu"/)

  const newer = server.createDatabase()
  await (await Catalog.open({ url: newer })).close()
  server.sql('update schema_version set version = 9999', databaseOf(newer))
  await refused(newer, /has schema version 9999.*use a newer Atoll/, 'catalog_too_new')

  const readers = server.createDatabase()
  server.sql('create role nobody_much login; revoke create on schema public from public', databaseOf(readers))
  await refused(readers.replace('atoll@', 'nobody_much@'), /permission denied for schema public/)

  await refused(server.url('missing'), /database "missing" does not exist/)
  await refused('postgres://u:secret@h/d', /password file \(PGPASSFILE\)/, 'bad_catalog_url')
})

t.test('one of two that change the same row runs again; what it did before counts for nothing', async (t) => {
  const catalog = await Catalog.open({ url: server.createDatabase() })
  t.teardown(() => catalog.close())
  await catalog.transaction(({ db }) => db.insertInto('sequences').values({ name: 'x', next: 0 }).execute())
  let runs = 0
  let committed = 0
  const raise = () =>
    catalog.transaction(async ({ db, afterCommit }) => {
      runs += 1
      afterCommit(() => {
        committed += 1
      })
      const { next } = await db.selectFrom('sequences').select('next').where('name', '=', 'x').executeTakeFirstOrThrow()
      await db
        .updateTable('sequences')
        .set({ next: next + 1 })
        .where('name', '=', 'x')
        .execute()
    })
  const many = 6
  await Promise.all(Array.from({ length: many }, raise))
  const { next } = await catalog.db
    .selectFrom('sequences')
    .select('next')
    .where('name', '=', 'x')
    .executeTakeFirstOrThrow()
  t.equal(next, many)
  t.equal(committed, many)
  t.ok(runs > many)
})

t.test('an error of a statement that the work passes over still ends the transaction', async (t) => {
  const catalog = await Catalog.open({ url: server.createDatabase() })
  t.teardown(() => catalog.close())
  const passedOver = catalog.transaction(async ({ db }) => {
    await db.insertInto('used_ids').values({ id: 'kept' }).execute()
    await db
      .selectFrom('nothing' as never)
      .selectAll()
      .execute()
      .catch(() => undefined)
  })
  await t.rejects(passedOver, /relation "nothing" does not exist/)
  t.same(await catalog.db.selectFrom('used_ids').selectAll().execute(), [])
})

t.test('while the server is away everything is refused with 503, and works as soon as it is back', async (t) => {
  const catalog = await Catalog.open({ url: server.createDatabase() })
  t.teardown(() => catalog.close())
  const write = (id: string) => catalog.transaction(({ db }) => db.insertInto('used_ids').values({ id }).execute())
  const read = () => catalog.db.selectFrom('used_ids').select('id').orderBy('id').execute()
  await write('before')
  await server.kill()
  const away = { code: 'catalog_away', status: 503 }
  await t.rejects(write('meanwhile'), away)
  await t.rejects(read(), away)
  await server.run()
  await write('after')
  t.same(await read(), [{ id: 'after' }, { id: 'before' }])
})

t.test('when the answer to a commit is lost, the database is asked what became of it', async (t) => {
  const url = server.createDatabase()
  // Between the catalog and the server: hands on everything, but may swallow the answer to a commit, or the commit itself.
  const socket = join(new URL(url.replace('@/', '@localhost/')).searchParams.get('host') ?? '', '.s.PGSQL.5432')
  let swallow: 'nothing' | 'commit' | 'answer' = 'nothing'
  const between = createServer((client) => {
    const upstream = createConnection(socket)
    let ending = false
    client.on('data', (bytes) => {
      if (bytes.includes('commit\0') && swallow !== 'nothing') {
        if (swallow === 'commit') upstream.destroy()
        ending = true
        swallow = 'nothing'
      }
      if (!upstream.destroyed) upstream.write(bytes)
      else client.destroy()
    })
    upstream.on('data', (bytes) => (ending ? client.destroy() : client.write(bytes)))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('error', () => undefined).on('close', () => other.destroy())
  })
  // Short, and gone with the test: the path of a socket has 107 bytes, and is cut off silently.
  const directory = mkdtempSync(join(tmpdir(), 'atoll-pg-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  between.listen(join(directory, '.s.PGSQL.5432'))
  await once(between, 'listening')
  t.teardown(() => between.close())
  const catalog = await Catalog.open({ url: url.replace(/host=.*/, `host=${encodeURIComponent(directory)}`) })
  t.teardown(() => catalog.close())
  const write = (id: string) => catalog.transaction(({ db }) => db.insertInto('used_ids').values({ id }).execute())

  swallow = 'answer'
  await write('committed')
  swallow = 'commit'
  await t.rejects(write('lost'), { code: 'catalog_away' })
  t.same(await catalog.db.selectFrom('used_ids').select('id').execute(), [{ id: 'committed' }])
})

t.test('commits of another process are seen by the version within a second', async (t) => {
  const url = server.createDatabase()
  const [one, other] = [await Catalog.open({ url }), await Catalog.open({ url })]
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const before = await one.version()
  await other.transaction(({ db }) => db.insertInto('used_ids').values({ id: 'a' }).execute())
  const began = performance.now()
  while ((await one.version()) === before) await new Promise((resolve) => setTimeout(resolve, 20))
  t.comment(`${Math.round(performance.now() - began)} ms`)
  const after = await one.version()
  await one.transaction(({ db }) => db.insertInto('used_ids').values({ id: 'b' }).execute())
  t.not(await one.version(), after)
})

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { sql } from 'kysely'
import t from 'tap'
import { Catalog } from '../../src/catalog/catalog.js'
import { schemaVersionNow } from '../../src/catalog/migrate.js'
import { Prepared, PreparedInsert } from '../../src/catalog/prepared.js'
import type { ProjectId } from '../../src/lib/ids.js'

async function openCatalog(t: Tap): Promise<{ catalog: Catalog; path: string }> {
  const path = join(t.testdir(), 'catalog.db')
  const catalog = await Catalog.open({ path })
  t.teardown(() => catalog.close())
  return { catalog, path }
}

interface Tap {
  testdir(): string
  teardown(end: () => unknown): unknown
}

const project = (id: string) => ({
  id: id as ProjectId,
  name: id,
  name_key: `/${id}`,
  domain_id: id as ProjectId,
  parent_id: null,
  is_domain: 1 as const,
  enabled: 1 as const,
  description: '',
  extra: '{}',
  created_at: 0,
})

/** There from the start. */
const defaultDomain = 'default' as ProjectId

async function names(catalog: Catalog): Promise<string[]> {
  const rows = await catalog.db
    .selectFrom('projects')
    .select('name')
    .where('id', '!=', defaultDomain)
    .orderBy('name')
    .execute()
  return rows.map((row) => row.name)
}

t.test('a new catalog has the newest schema and is for its owner alone', async (t) => {
  const { path } = await openCatalog(t)
  const database = new Database(path, { readonly: true })
  t.equal(database.prepare('select version from schema_version').pluck().get(), schemaVersionNow)
  t.equal(database.pragma('journal_mode', { simple: true }), 'wal')
  database.close()
  for (const suffix of ['', '-wal']) t.equal(statSync(`${path}${suffix}`).mode & 0o777, 0o600, suffix)
})

t.test('opening it again changes nothing', async (t) => {
  const { catalog, path } = await openCatalog(t)
  await catalog.transaction(({ db }) => db.insertInto('projects').values(project('a')).execute())
  const second = await Catalog.open({ path })
  t.same(await names(second), ['a'])
  await second.close()
})

t.test('a newer schema is refused in words, by the server and by a second process', async (t) => {
  const { path } = await openCatalog(t)
  const database = new Database(path)
  database.prepare('update schema_version set version = ?').run(schemaVersionNow + 3)
  database.close()
  const words = new RegExp(`schema version ${schemaVersionNow + 3}.*up to ${schemaVersionNow}.*newer Atoll`)
  await t.rejects(Catalog.open({ path }), { code: 'catalog_too_new', message: words })
  await t.rejects(Catalog.open({ path, schema: 'exact' }), { code: 'catalog_too_new' })
})

t.test('a second process neither makes nor changes a catalog', async (t) => {
  const path = join(t.testdir(), 'none.db')
  await t.rejects(Catalog.open({ path, schema: 'exact' }), { code: 'catalog_missing' })
  new Database(path).close()
  await t.rejects(Catalog.open({ path, schema: 'exact' }), { code: 'catalog_empty' })
})

t.test('what is no database is refused as such', async (t) => {
  const dir = t.testdir({ 'catalog.db': 'this is some other file, and it is long enough to be looked at'.repeat(100) })
  await t.rejects(Catalog.open({ path: join(dir, 'catalog.db') }), { code: 'catalog_failed' })
})

t.test('a transaction that fails leaves nothing, and the next one works', async (t) => {
  const { catalog } = await openCatalog(t)
  let told = false
  const failing = catalog.transaction(async (tx) => {
    tx.afterCommit(() => {
      told = true
    })
    await tx.db.insertInto('projects').values(project('a')).execute()
    throw new Error('no')
  })
  await t.rejects(failing, { message: 'no' })
  t.notOk(told, 'what was to happen after the commit did not happen')
  await catalog.transaction(({ db }) => db.insertInto('projects').values(project('b')).execute())
  t.same(await names(catalog), ['b'])
})

t.test('transactions never interleave, however long they take', async (t) => {
  const { catalog } = await openCatalog(t)
  const seen: string[] = []
  const job = (name: string) =>
    catalog.transaction(async ({ db }) => {
      seen.push(name)
      await db
        .insertInto('projects')
        .values(project(`${name}1`))
        .execute()
      for (let i = 0; i < 5; i++) await nextTurn()
      await db
        .insertInto('projects')
        .values(project(`${name}2`))
        .execute()
      seen.push(name)
    })
  await Promise.all(['a', 'b', 'c', 'd'].map(job))
  t.same(seen, ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd'])
})

t.test('readers see what is committed, at once, and never half of a transaction', async (t) => {
  const { catalog } = await openCatalog(t)
  let inside = () => {}
  let finish = () => {}
  const begun = new Promise<void>((resolve) => {
    inside = resolve
  })
  const end = new Promise<void>((resolve) => {
    finish = resolve
  })
  const writing = catalog.transaction(async ({ db }) => {
    await db.insertInto('projects').values(project('a')).execute()
    inside()
    await end
    await db.insertInto('projects').values(project('b')).execute()
  })
  await begun
  t.same(await names(catalog), [], 'a reader does not wait for the writer')
  finish()
  await writing
  t.same(await names(catalog), ['a', 'b'])
})

t.test(
  'reading past the transaction, and a transaction within one, are refused instead of being wrong or hanging',
  async (t) => {
    const { catalog } = await openCatalog(t)
    await t.rejects(
      catalog.transaction(() => names(catalog)),
      { message: /read by tx.db/ },
    )
    await t.rejects(
      catalog.transaction(() => catalog.transaction(async () => 1)),
      { message: /wait for itself/ },
    )
    t.same(await names(catalog), [], 'it goes on working')
  },
)

const insert = (catalog: Catalog, id: string) =>
  catalog.transaction(({ db }) => db.insertInto('projects').values(project(id)).execute())

/** Frames of the write-ahead log that end a transaction: the third word of a frame's header is not zero (sqlite.org/fileformat2.html, 4.1). */
function commits(path: string): number {
  const log = readFileSync(`${path}-wal`)
  const frameBytes = 24 + log.readUInt32BE(8)
  let count = 0
  for (let at = 32; at + frameBytes <= log.length; at += frameBytes) if (log.readUInt32BE(at + 4) !== 0) count += 1
  return count
}

t.test('transactions that wait together share one commit, and one that fails among them fails alone', async (t) => {
  const { catalog, path } = await openCatalog(t)
  await insert(catalog, 'before')
  const before = commits(path)
  const told: string[] = []
  const failing = catalog.transaction(async (tx) => {
    tx.afterCommit(() => void told.push('bad'))
    await tx.db.insertInto('projects').values(project('bad')).execute()
    await tx.db.insertInto('projects').values(project('before')).execute() // a name that is taken
  })
  const good = ['a', 'b', 'c'].map((id) =>
    catalog.transaction(async (tx) => {
      tx.afterCommit(() => void told.push(id))
      await tx.db.insertInto('projects').values(project(id)).execute()
    }),
  )
  await t.rejects(failing, { code: /^SQLITE_CONSTRAINT/ })
  await Promise.all(good)
  await insert(catalog, 'd')
  t.equal(commits(path), before + 2, 'one commit for four, and one for the last')
  t.same(await names(catalog), ['a', 'b', 'before', 'c', 'd'])
  t.same(told, ['a', 'b', 'c'])
})

t.test('nobody of a group is answered before its commit, and all fail when that fails', async (t) => {
  const { catalog, path } = await openCatalog(t)
  await insert(catalog, 'before')
  const answers: string[] = []
  const note = (name: string) => [() => answers.push(`${name}: well`), () => answers.push(`${name}: ill`)] as const
  let refused: unknown
  const group = [
    insert(catalog, 'a').then(...note('a')),
    catalog
      .transaction(async () => {
        throw new Error('no')
      })
      .then(...note('b')),
    catalog
      .transaction(async ({ db }) => {
        // What SQLite does by itself when the disk is full: the transaction is over.
        t.same(answers, [], 'nobody knows yet')
        await sql`rollback`.execute(db)
        refused = new Error('the disk is full')
        throw refused
      })
      .then(...note('c')),
    insert(catalog, 'd').then(...note('d')),
  ]
  await Promise.all(group)
  t.same(answers.sort(), ['a: ill', 'b: ill', 'c: ill', 'd: ill'])
  t.same(await names(catalog), ['before'])
  await insert(catalog, 'e')
  t.same(await names(catalog), ['before', 'e'], 'it goes on working')
  const again = await Catalog.open({ path })
  t.same(await names(again), ['before', 'e'])
  await again.close()
})

t.test('without the guard transactions are the same', async (t) => {
  const catalog = await Catalog.open({ path: join(t.testdir(), 'catalog.db'), guard: false })
  await Promise.all(['a', 'b'].map((id) => insert(catalog, id)))
  await t.rejects(insert(catalog, 'a'), { code: /^SQLITE_CONSTRAINT/ })
  t.same(await names(catalog), ['a', 'b'])
  const last = insert(catalog, 'c')
  await catalog.close()
  await last // was waited for
})

t.test(
  'a prepared query answers for the values of each run, within a transaction too, and takes no fewer',
  async (t) => {
    const { catalog } = await openCatalog(t)
    await insert(catalog, 'a')
    const named = new Prepared<{ name: string }, string[]>((db) =>
      db.selectFrom('projects').select('name').where('name', '=', '').where('description', '=', '').compile(),
    )
    t.same(await named.all(catalog.db, 'a', ''), [{ name: 'a' }])
    t.equal(await named.first(catalog.db, 'b', ''), undefined)
    await catalog.transaction(async ({ db }) => {
      await db.insertInto('projects').values(project('b')).execute()
      t.same(await named.first(db, 'b', ''), { name: 'b' })
    })
    await t.rejects(named.all(catalog.db, 'a'), { message: /2 parameters, not 1/ })
  },
)

t.test('a prepared insert puts each value into its column', async (t) => {
  const { catalog } = await openCatalog(t)
  const row = { ...project('a'), description: 'the first' }
  const prepared = new PreparedInsert('projects', [
    ...(['created_at', 'description', 'enabled', 'id', 'name'] as const),
    ...(['name_key', 'domain_id', 'parent_id', 'is_domain', 'extra'] as const),
  ])
  await catalog.transaction(async ({ db }) => prepared.run(db, row))
  t.same(await catalog.db.selectFrom('projects').selectAll().where('id', '=', row.id).execute(), [row])
})

t.test('a prepared query is not run for a transaction that has ended', async (t) => {
  const { catalog } = await openCatalog(t)
  const named = new Prepared<{ name: string }, []>((db) => db.selectFrom('projects').select('name').compile())
  const past = await catalog.transaction(async ({ db }) => db)
  await t.rejects(named.all(past), { message: /nor a transaction that is under way/ })
})

t.test(
  'the version is another one after each commit, of this process or another, and after nothing else',
  async (t) => {
    const { catalog, path } = await openCatalog(t)
    const seen = [await catalog.version()]
    const look = async () => seen.push(await catalog.version())
    await insert(catalog, 'a')
    await look()
    await Promise.all(['b', 'c'].map((id) => insert(catalog, id)))
    await look()
    const other = new Database(path)
    other.prepare("update projects set description = 'new'").run()
    other.close()
    await look()
    t.equal(new Set(seen).size, 4)
    await t.rejects(insert(catalog, 'a'), { code: /^SQLITE_CONSTRAINT/ })
    await names(catalog)
    await look()
    t.equal(seen.at(-1), seen.at(-2))
  },
)

t.test('the reading connection cannot write', async (t) => {
  const { catalog } = await openCatalog(t)
  await t.rejects(catalog.db.insertInto('projects').values(project('a')).execute(), { code: 'catalog_failed' })
})

t.test('a reference to nothing is refused', async (t) => {
  const { catalog } = await openCatalog(t)
  const id = 'b' as ProjectId
  await t.rejects(
    catalog.transaction(({ db }) =>
      db
        .insertInto('accounts')
        .values({ project_id: id, container_count: 0, object_count: 0, bytes_used: 0, created_at: 0 })
        .execute(),
    ),
    { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' },
  )
})

t.test('a closed catalog has no file open, though it was never asked anything', async (t) => {
  const path = join(t.testdir(), 'catalog.db')
  const catalog = await Catalog.open({ path })
  const open = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path)
      } catch {
        return false // the descriptor that lists them
      }
    })
  t.not(open().length, 0)
  await catalog.close()
  t.strictSame(open(), [])
})

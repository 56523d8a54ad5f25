import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import t from 'tap'
import { Catalog } from '../../src/catalog/catalog.js'
import { revocation } from '../../src/catalog/migrations/0006_revocation.js'
import { migrations } from '../../src/catalog/migrations/index.js'

t.test('every table and column that the program knows is there', async (t) => {
  const path = join(t.testdir(), 'catalog.db')
  const catalog = await Catalog.open({ path })
  t.teardown(() => catalog.close())
  // One row of each table is asked for by the columns that schema.ts names; SQLite refuses a column it does not have.
  const columns: Record<string, string[]> = {
    resources: ['id', 'mode', 'size_bytes', 'head_layer', 'created_at'],
    layers: ['id', 'parent', 'parent_limit_blocks', 'sealed', 'state', 'created_at'],
    tokens: ['hash', 'user_id', 'project_id', 'methods', 'audit_id', 'parent_audit_id', 'parent_hash', 'expires_at'],
    volumes: ['id', 'read_only', 'source_volume_id', 'snapshot_id', 'image_id', 'volume_type', 'availability_zone'],
    snapshots: ['id', 'volume_id', 'bootable', 'resource_id', 'updated_at'],
    attachments: ['id', 'user_id', 'connector', 'export_name', 'attached_at', 'host_name'],
    used_ids: ['id'],
    object_metadata: ['object_id', 'kind', 'name', 'value'],
    image_properties: ['image_id', 'name', 'value'],
    block_usage: ['project_id', 'volumes', 'volume_gib', 'snapshots'],
  }
  for (const [table, names] of Object.entries(columns)) {
    await t.resolves(
      sql`select ${sql.join(names.map((name) => sql.ref(name)))} from ${sql.table(table)}`.execute(catalog.db),
    )
  }
})

t.test('lists are found by an index, not by looking at every row', async (t) => {
  const path = join(t.testdir(), 'catalog.db')
  await (await Catalog.open({ path })).close()
  const database = new Database(path, { readonly: true })
  const queries = [
    "select * from objects where container_id = 'c' and name > 'm' and name < 'n' order by name limit 10",
    "select * from containers where project_id = 'p' and name > 'm' order by name limit 10",
    "select * from volumes where project_id = 'p' order by created_at desc, id desc limit 10",
    "select * from images where owner = 'p' order by created_at desc, id desc limit 10",
    "select * from snapshots where volume_id = 'v'",
    'select * from layers where parent = 1',
    'select * from resources where head_layer = 1',
    "select * from objects where resource_id = 'r'",
    "select * from attachments where export_name = 'e'",
    "select * from volumes where name = 'n' limit 6",
    "select * from snapshots where name = 'n' limit 6",
    "select * from images where name = 'n' and resource_id is not null limit 6",
    'delete from tokens where expires_at <= 5',
    "select hash from tokens where parent_hash = 'h'",
    "select id from used_ids where id = 'i'",
  ]
  for (const query of queries) {
    const plan = database.prepare(`explain query plan ${query}`).all() as { detail: string }[]
    const words = plan.map(({ detail }) => detail).join('; ')
    t.match(words, /SEARCH .* USING /, query)
    t.notMatch(words, /SCAN|TEMP B-TREE/, query)
  }
  database.close()
})

t.test('a migration that fails changes nothing at all', async (t) => {
  const path = join(t.testdir(), 'catalog.db')
  // A table is in the way of the very last thing that the first migration makes.
  const database = new Database(path)
  database.exec('create table attachments (id text)')
  await t.rejects(Catalog.open({ path }), { message: /attachments/ })
  const tables = database.prepare("select name from sqlite_master where type = 'table'").pluck().all()
  t.same(tables, ['attachments'])
  database.close()
})

t.test('the catalog of the first version is brought up to date with all that is in it', async (t) => {
  const path = join(t.testdir(), 'catalog.db')
  const database = new Database(path)
  const first = new Kysely<unknown>({ dialect: new SqliteDialect({ database }) })
  await migrations[0]?.(first)
  database.exec(`
    create table schema_version (version integer not null);
    insert into schema_version values (1);
    insert into projects (id, name, description, enabled, created_at) values ('p', 'p', '', 1, 0);
    insert into accounts (project_id, container_count, object_count, bytes_used, created_at) values ('p', 1, 1, 3, 0);
    insert into layers (id, parent, parent_limit_blocks, sealed, state, created_at) values (1, null, 0, 1, 'live', 0);
    insert into resources (id, mode, size_bytes, head_layer, created_at) values ('r', 'ro', 3, 1, 0);
    insert into containers (id, project_id, name, object_count, bytes_used, created_at, updated_at) values ('c', 'p', 'c', 1, 3, 0, 0);
    insert into objects (id, container_id, name, resource_id, size_bytes, md5, sha256, content_type, created_at, updated_at)
      values ('o', 'c', 'o', 'r', 3, 'm', 's', 't', 0, 0);
    insert into volumes (id, project_id, user_id, size_gib, status, bootable, resource_id, created_at, read_only, volume_type, availability_zone)
      values ('v', 'p', 'u', 7, 'available', 0, 'r', 0, 0, 't', 'z'), ('w', 'p', 'u', 2, 'available', 0, 'r', 0, 0, 't', 'z');
    insert into snapshots (id, project_id, user_id, size_gib, status, bootable, resource_id, created_at, volume_id)
      values ('s', 'p', 'u', 7, 'available', 0, 'r', 0, 'v');`)
  await first.destroy()
  const catalog = await Catalog.open({ path })
  t.teardown(() => catalog.close())
  const [object] = await catalog.db.selectFrom('objects').selectAll().execute()
  t.match(object, { id: 'o', md5: 'm', sha256: 's', content_type: 't' })
  await catalog.transaction(({ db }) => db.updateTable('objects').set({ sha256: null }).execute())
  const counted = await catalog.db.selectFrom('block_usage').selectAll().execute()
  t.same(counted, [{ project_id: 'p', volumes: 2, volume_gib: 9, snapshots: 1 }])
})

t.test(
  'an older catalog is brought up to date: tokens know their parents, and IDs that are there count as used',
  async (t) => {
    const path = join(t.testdir(), 'catalog.db')
    const database = new Database(path)
    const before = new Kysely<unknown>({ dialect: new SqliteDialect({ database }) })
    const index = migrations.indexOf(revocation)
    for (const migration of migrations.slice(0, index)) await migration(before)
    const token = (hash: string, audit: string, parent: string) =>
      `insert into tokens (hash, user_id, project_id, methods, audit_id, parent_audit_id, issued_at, expires_at)
      values ('${hash}', 'u', null, 'password', '${audit}', ${parent}, 0, 9);`
    database.exec(`
    create table schema_version (version integer not null);
    insert into schema_version values (${index});
    insert into projects (id, name, description, enabled, created_at) values ('p', 'p', '', 1, 0);
    insert into users (id, name, password_hash, enabled, description, created_at) values ('u', 'u', '', 1, '', 0);
    insert into images (id, status, visibility, owner, protected, hidden, min_disk_gib, min_ram_mib, created_at, updated_at)
      values ('i', 'queued', 'shared', 'p', 0, 0, 0, 0, 0, 0);
    ${token('first', 'a', 'null')} ${token('child', 'b', "'a'")} ${token('orphan', 'c', "'gone'")}`)
    await before.destroy()
    const catalog = await Catalog.open({ path })
    t.teardown(() => catalog.close())
    const tokens = await catalog.db.selectFrom('tokens').select(['hash', 'parent_hash']).orderBy('hash').execute()
    t.same(tokens, [
      { hash: 'child', parent_hash: 'first' },
      { hash: 'first', parent_hash: null },
    ])
    t.same(await catalog.db.selectFrom('used_ids').selectAll().execute(), [{ id: 'i' }])
  },
)

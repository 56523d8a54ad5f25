/** The schema of a PostgreSQL catalog: migrations, one process at a time, and what the database must be like. */

import { type Kysely, sql } from 'kysely'
import { CatalogFailed } from '../errors.js'
import { prepareSchema } from '../migrate.js'
import type { SchemaMode } from '../types.js'

/** Any number, the same for all: "atol" in ASCII. */
const migrationLock = 0x61746f6c

/** Throws as `Catalog.open` does. */
export async function prepare(db: Kysely<unknown>, name: string, schema: SchemaMode): Promise<void> {
  await requireServer(db)
  if (schema === 'upgrade' && !(await isMade(db))) await requireEmpty(db)
  await prepareSchema({ db, name, isMade, lock, afterEach: compareByBytes }, schema)
  const other = await otherCollations(db)
  if (other.length > 0)
    throw new CatalogFailed(
      `its names are not compared byte by byte: ${other
        .slice(0, 3)
        .map(({ table, column, collation }) => `${table}.${column} has the collation "${collation}"`)
        .join(', ')}; give its columns the collation "C" again, or copy the catalog to a new database`,
    )
}

async function requireServer(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ version: number; encoding: string }>`
    select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding`.execute(
    db,
  )
  const [{ version, encoding } = { version: 0, encoding: '' }] = rows
  if (version < 130_000)
    throw new CatalogFailed(`PostgreSQL ${Math.floor(version / 10_000)} is too old: 13 or newer is needed`)
  if (encoding !== 'UTF8')
    throw new CatalogFailed(
      `the database has the encoding ${encoding}: make one with "create database … encoding 'UTF8'"`,
    )
}

/** Tables of others would be in the way, now or in a later version. */
async function requireEmpty(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ schema: string | null; name: string | null }>`
    select current_schema() as schema, (select relname from pg_class
      where relnamespace = current_schema()::regnamespace and relkind in ('r', 'v', 'm', 'p') limit 1) as name`.execute(
    db,
  )
  const [{ schema, name } = { schema: null, name: null }] = rows
  if (schema === null)
    throw new CatalogFailed('there is no schema on the search path of this role: create one, or set its search_path')
  if (name !== null)
    throw new CatalogFailed(
      `the schema "${schema}" already has tables of something else (${name}): use a database, or a schema, of its own`,
    )
}

async function isMade(db: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql<{ made: boolean }>`select to_regclass('schema_version') is not null as made`.execute(db)
  return rows[0]?.made === true
}

async function lock(tx: Kysely<unknown>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${migrationLock})`.execute(tx)
}

interface OtherCollation {
  table: string
  column: string
  collation: string
}

/** Text columns of the catalog that are not compared by their bytes, as SQLite does it. */
async function otherCollations(db: Kysely<unknown>): Promise<OtherCollation[]> {
  const { rows } = await sql<OtherCollation>`
    select c.relname as "table", a.attname as "column", l.collname as collation
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_collation l on l.oid = a.attcollation
      where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace and a.attnum > 0 and not a.attisdropped
        and l.collname <> 'C' order by 1, 2`.execute(db)
  return rows
}

async function compareByBytes(tx: Kysely<unknown>): Promise<void> {
  const columns = new Map<string, string[]>()
  for (const { table, column } of await otherCollations(tx)) columns.set(table, [...(columns.get(table) ?? []), column])
  for (const [table, names] of columns) {
    const changes = names.map((name) => sql`alter column ${sql.ref(name)} type text collate "C"`)
    await sql`alter table ${sql.table(table)} ${sql.join(changes)}`.execute(tx)
  }
}

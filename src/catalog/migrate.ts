/** Brings a catalog up to the schema that this program knows. */

import { type Kysely, sql } from 'kysely'
import { CatalogTooNew } from './errors.js'
import { migrations } from './migrations/index.js'

interface VersionTable {
  schema_version: { version: number }
}

/** Of this program. */
export const schemaVersionNow = migrations.length

/** Of a catalog; 0 when it is empty. Throws CatalogTooNew. */
export async function schemaVersion(db: Kysely<unknown>, path: string): Promise<number> {
  const tables = await db.introspection.getTables()
  if (!tables.some((table) => table.name === 'schema_version')) return 0
  const row = await versions(db).selectFrom('schema_version').select('version').executeTakeFirst()
  const found = Number(row?.version ?? 0)
  if (found > schemaVersionNow) throw new CatalogTooNew(path, found, schemaVersionNow)
  return found
}

export async function migrate(db: Kysely<unknown>, path: string): Promise<void> {
  const found = await schemaVersion(db, path)
  for (let version = found; version < schemaVersionNow; version++) {
    await db.transaction().execute(async (tx) => {
      if (version === 0) {
        await tx.schema
          .createTable('schema_version')
          .addColumn('version', 'integer', (c) => c.notNull())
          .execute()
        await versions(tx).insertInto('schema_version').values({ version: 0 }).execute()
      }
      await migrations[version]?.(tx)
      await versions(tx).updateTable('schema_version').set({ version: sql`version + 1` }).execute()
    })
  }
}

const versions = (db: Kysely<unknown>): Kysely<VersionTable> => db as unknown as Kysely<VersionTable>

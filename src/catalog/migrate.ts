/** Brings a catalog up to the schema that this program knows. */

import { type Kysely, sql } from 'kysely'
import { CatalogEmpty, CatalogOutdated, CatalogTooNew } from './errors.js'
import { migrations } from './migrations/index.js'
import type { SchemaMode } from './types.js'

interface VersionTable {
  schema_version: { version: number }
}

/** Of this program. */
export const schemaVersionNow = migrations.length

/** What differs between databases. */
export interface MigrationTarget {
  db: Kysely<unknown>
  /** For messages. */
  name: string
  /** Whether the table `schema_version` is there. */
  isMade(db: Kysely<unknown>): Promise<boolean>
  /** Called first in each transaction: keeps others from migrating until it ends. */
  lock?(tx: Kysely<unknown>): Promise<void>
  /** Called after each migration, in its transaction. */
  afterEach?(tx: Kysely<unknown>): Promise<void>
}

/** Throws CatalogTooNew; with `exact` CatalogEmpty, CatalogOutdated. */
export async function prepareSchema(target: MigrationTarget, mode: SchemaMode): Promise<void> {
  if (mode === 'upgrade') return migrate(target)
  const found = await schemaVersion(target, target.db)
  if (found === 0) throw new CatalogEmpty(target.name)
  if (found !== schemaVersionNow) throw new CatalogOutdated(target.name, found, schemaVersionNow)
}

/** 0 when it is empty. */
async function schemaVersion({ name, isMade }: MigrationTarget, db: Kysely<unknown>): Promise<number> {
  if (!(await isMade(db))) return 0
  const row = await versions(db).selectFrom('schema_version').select('version').executeTakeFirst()
  const found = Number(row?.version ?? 0)
  if (found > schemaVersionNow) throw new CatalogTooNew(name, found, schemaVersionNow)
  return found
}

async function migrate(target: MigrationTarget): Promise<void> {
  let found = await schemaVersion(target, target.db)
  while (found < schemaVersionNow) {
    found = await target.db.transaction().execute(async (tx) => {
      await target.lock?.(tx)
      // Somebody else may have come first.
      const version = await schemaVersion(target, tx)
      if (version === schemaVersionNow) return version
      if (version === 0) {
        await tx.schema
          .createTable('schema_version')
          .addColumn('version', 'integer', (c) => c.notNull())
          .execute()
        await versions(tx).insertInto('schema_version').values({ version: 0 }).execute()
      }
      await migrations[version]?.(tx)
      await target.afterEach?.(tx)
      await versions(tx).updateTable('schema_version').set({ version: sql`version + 1` }).execute()
      return version + 1
    })
  }
}

const versions = (db: Kysely<unknown>): Kysely<VersionTable> => db as unknown as Kysely<VersionTable>

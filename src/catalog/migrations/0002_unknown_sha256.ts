/** The SHA-256 of an object may be unknown: it is no longer computed of long ones. */

import type { Kysely } from 'kysely'

interface Objects {
  objects: { sha256: string | null; sha256_or_null: string | null }
}

export async function unknownSha256(db: Kysely<unknown>): Promise<void> {
  // A NOT NULL goes with its column: SQLite cannot alter one.
  await db.schema.alterTable('objects').addColumn('sha256_or_null', 'text').execute()
  await (db as Kysely<Objects>)
    .updateTable('objects')
    .set((eb) => ({ sha256_or_null: eb.ref('sha256') }))
    .execute()
  await db.schema.alterTable('objects').dropColumn('sha256').execute()
  await db.schema.alterTable('objects').renameColumn('sha256_or_null', 'sha256').execute()
}

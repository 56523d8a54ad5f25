/** Objects that stand for others (manifests, symbolic links), and objects that expire. */

import type { Kysely } from 'kysely'

export async function indirections(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('objects').addColumn('indirection', 'text').execute()
  await db.schema.alterTable('objects').addColumn('expires_at', 'bigint').execute()
  await db.schema
    .createIndex('objects_by_expiry')
    .on('objects')
    .column('expires_at')
    .where('expires_at' as never, 'is not', null)
    .execute()
}

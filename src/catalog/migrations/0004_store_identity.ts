/** Which store the catalog belongs to, and its generation (src/core/directory/store_identity.ts): one row, made at the first start. */

import type { Kysely } from 'kysely'

export async function storeIdentity(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('store_identity')
    .addColumn('id', 'text', (c) => c.notNull())
    .addColumn('generation', 'integer', (c) => c.notNull())
    .execute()
}

/** Snapshots are found by their names, like volumes and images: by the name filter of a list, and by NBD clients of the operator. */

import type { Kysely } from 'kysely'

export async function snapshotsByName(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex('snapshots_by_name').on('snapshots').column('name').execute()
}

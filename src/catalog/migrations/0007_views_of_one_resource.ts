/**
 * Objects, images and snapshots are views of one read-only resource: what that takes in their tables. Images and snapshots that were
 * there before stay as they are, without an object of their own; a snapshot of before is no image.
 */

import type { Kysely } from 'kysely'

interface Before {
  objects: { md5: string | null; md5_or_null: string | null }
  snapshots: { volume_id: string | null; volume_id_or_null: string | null }
}

export async function viewsOfOneResource(db: Kysely<unknown>): Promise<void> {
  const typed = db as Kysely<Before>

  // Nobody has read the bytes of an object that a snapshot brings along. A NOT NULL goes with its column: SQLite cannot alter one.
  await db.schema.alterTable('objects').addColumn('md5_or_null', 'text').execute()
  await typed
    .updateTable('objects')
    .set((eb) => ({ md5_or_null: eb.ref('md5') }))
    .execute()
  await db.schema.alterTable('objects').dropColumn('md5').execute()
  await db.schema.alterTable('objects').renameColumn('md5_or_null', 'md5').execute()

  // A snapshot that was made from an image has no volume.
  await db.schema.dropIndex('snapshots_by_volume').execute()
  await db.schema
    .alterTable('snapshots')
    .addColumn('volume_id_or_null', 'text', (c) => c.references('volumes.id'))
    .execute()
  await typed
    .updateTable('snapshots')
    .set((eb) => ({ volume_id_or_null: eb.ref('volume_id') }))
    .execute()
  await db.schema.alterTable('snapshots').dropColumn('volume_id').execute()
  await db.schema.alterTable('snapshots').renameColumn('volume_id_or_null', 'volume_id').execute()
  await db.schema.createIndex('snapshots_by_volume').on('snapshots').column('volume_id').execute()

  await db.schema
    .alterTable('snapshots')
    .addColumn('listed', 'integer', (c) => c.notNull().defaultTo(1))
    .execute()

  await db.schema.alterTable('images').addColumn('origin', 'text').execute()
  await db.schema.alterTable('images').addColumn('object_id', 'text').execute()
  await db.schema.alterTable('images').addColumn('virtual_size_bytes', 'bigint').execute()
}

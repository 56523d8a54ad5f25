/** The projects that a shared image is shared with. */

import type { Kysely } from 'kysely'

export async function imageMembers(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('image_members')
    .addColumn('image_id', 'text', (c) => c.notNull().references('images.id').onDelete('cascade'))
    .addColumn('member', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('image_members_key', ['image_id', 'member'])
    .execute()
  await db.schema.createIndex('image_members_by_member').on('image_members').columns(['member', 'status']).execute()
}

/**
 * What revocation needs to know: which token a token was obtained with, which user an attachment is served for, and which IDs were
 * ever used by an image, a volume or a snapshot.
 */

import { type Kysely, sql } from 'kysely'

export async function revocation(db: Kysely<unknown>): Promise<void> {
  // No foreign key: SQLite deletes in cascade to a depth of 1000, and a client decides how long a chain of tokens is.
  await db.schema.alterTable('tokens').addColumn('parent_hash', 'text').execute()
  await db.schema.createIndex('tokens_by_parent').on('tokens').column('parent_hash').execute()
  // Only the first token of a chain is known; a token that outlived it was revoked with it by the rule that holds now.
  await sql`update tokens set parent_hash = (select first.hash from tokens first where first.audit_id = tokens.parent_audit_id)
    where parent_audit_id is not null`.execute(db)
  await sql`delete from tokens where parent_audit_id is not null and parent_hash is null`.execute(db)

  // Null for attachments that were made before: they end with their project only.
  await db.schema.alterTable('attachments').addColumn('user_id', 'text').execute()

  await db.schema
    .createTable('used_ids')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .execute()
  await sql`insert into used_ids (id) select id from images union select id from volumes union select id from snapshots`.execute(
    db,
  )
}

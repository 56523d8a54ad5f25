/** Long work that somebody asked for, and the raw twins of images in other formats. */

import type { Kysely } from 'kysely'

export async function jobsAndTwins(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('jobs')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('image_id', 'text', (c) => c.notNull())
    .addColumn('name', 'text')
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('progress', 'integer', (c) => c.notNull())
    .addColumn('message', 'text', (c) => c.notNull())
    .addColumn('attempts', 'integer', (c) => c.notNull())
    .addColumn('resource_id', 'text', (c) => c.references('resources.id'))
    .addColumn('size_bytes', 'bigint')
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('jobs_by_project').on('jobs').columns(['project_id', 'created_at', 'id']).execute()
  await db.schema.createIndex('jobs_by_image').on('jobs').columns(['image_id', 'kind']).execute()
  await db.schema.createIndex('jobs_by_state').on('jobs').columns(['state', 'created_at', 'id']).execute()
  await db.schema.createIndex('jobs_by_resource').on('jobs').column('resource_id').execute()

  await db.schema
    .createTable('image_twins')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull().references('images.id'))
    .addColumn('name', 'text')
    .addColumn('resource_id', 'text', (c) => c.notNull().references('resources.id'))
    .addColumn('size_bytes', 'bigint', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('image_twins_by_resource').on('image_twins').column('resource_id').execute()
  await db.schema.createIndex('volumes_by_status').on('volumes').columns(['status', 'image_id']).execute()
}

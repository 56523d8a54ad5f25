/** The first schema. Never edit a migration that has been released: write the next one. */

import type { CreateTableBuilder, Kysely } from 'kysely'

export async function initial(db: Kysely<unknown>): Promise<void> {
  await createTree(db)
  await createIdentity(db)
  await createObjectStorage(db)
  await createImages(db)
  await createVolumes(db)
}

async function createTree(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('sequences')
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('next', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('layers')
    .addColumn('id', 'bigint', (c) => c.primaryKey().notNull())
    .addColumn('parent', 'bigint', (c) => c.references('layers.id'))
    .addColumn('parent_limit_blocks', 'bigint', (c) => c.notNull())
    .addColumn('sealed', 'integer', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('layers_by_parent').on('layers').column('parent').execute()
  await db.schema
    .createTable('resources')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('mode', 'text', (c) => c.notNull())
    .addColumn('size_bytes', 'bigint', (c) => c.notNull())
    .addColumn('head_layer', 'bigint', (c) => c.notNull().references('layers.id'))
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('resources_by_head').on('resources').column('head_layer').execute()
}

async function createIdentity(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('projects')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('enabled', 'integer', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('users')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('password_hash', 'text', (c) => c.notNull())
    .addColumn('enabled', 'integer', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('email', 'text')
    .addColumn('default_project_id', 'text', (c) => c.references('projects.id').onDelete('set null'))
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('roles')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .execute()
  await db.schema
    .createTable('assignments')
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('role_id', 'text', (c) => c.notNull().references('roles.id'))
    .addPrimaryKeyConstraint('assignments_key', ['user_id', 'project_id', 'role_id'])
    .execute()
  await db.schema.createIndex('assignments_by_project').on('assignments').column('project_id').execute()
  await db.schema
    .createTable('tokens')
    .addColumn('hash', 'text', (c) => c.primaryKey().notNull())
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('project_id', 'text', (c) => c.references('projects.id').onDelete('cascade'))
    .addColumn('methods', 'text', (c) => c.notNull())
    .addColumn('audit_id', 'text', (c) => c.notNull())
    .addColumn('parent_audit_id', 'text')
    .addColumn('issued_at', 'bigint', (c) => c.notNull())
    .addColumn('expires_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('tokens_by_user').on('tokens').column('user_id').execute()
  await db.schema.createIndex('tokens_by_project').on('tokens').column('project_id').execute()
  await db.schema.createIndex('tokens_by_expiry').on('tokens').column('expires_at').execute()
}

async function createObjectStorage(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('accounts')
    .addColumn('project_id', 'text', (c) => c.primaryKey().notNull().references('projects.id'))
    .addColumn('container_count', 'bigint', (c) => c.notNull())
    .addColumn('object_count', 'bigint', (c) => c.notNull())
    .addColumn('bytes_used', 'bigint', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await createMetadata(db, 'account_metadata', { key: 'project_id', owner: 'accounts.project_id', kinds: true })
  await db.schema
    .createTable('containers')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('project_id', 'text', (c) => c.notNull().references('accounts.project_id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('object_count', 'bigint', (c) => c.notNull())
    .addColumn('bytes_used', 'bigint', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('containers_by_name', ['project_id', 'name'])
    .execute()
  await createMetadata(db, 'container_metadata', { key: 'container_id', owner: 'containers.id', kinds: true })
  await db.schema
    .createTable('objects')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('container_id', 'text', (c) => c.notNull().references('containers.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('resource_id', 'text', (c) => c.notNull().references('resources.id'))
    .addColumn('size_bytes', 'bigint', (c) => c.notNull())
    .addColumn('md5', 'text', (c) => c.notNull())
    .addColumn('sha256', 'text', (c) => c.notNull())
    .addColumn('content_type', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('objects_by_name', ['container_id', 'name'])
    .execute()
  await db.schema.createIndex('objects_by_resource').on('objects').column('resource_id').execute()
  await createMetadata(db, 'object_metadata', { key: 'object_id', owner: 'objects.id', kinds: true })
}

async function createImages(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('images')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('name', 'text')
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('visibility', 'text', (c) => c.notNull())
    .addColumn('owner', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('protected', 'integer', (c) => c.notNull())
    .addColumn('hidden', 'integer', (c) => c.notNull())
    .addColumn('disk_format', 'text')
    .addColumn('container_format', 'text')
    .addColumn('min_disk_gib', 'integer', (c) => c.notNull())
    .addColumn('min_ram_mib', 'integer', (c) => c.notNull())
    .addColumn('size_bytes', 'bigint')
    .addColumn('md5', 'text')
    .addColumn('sha256', 'text')
    .addColumn('resource_id', 'text', (c) => c.references('resources.id'))
    .addColumn('location', 'text')
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('images_by_owner').on('images').columns(['owner', 'created_at', 'id']).execute()
  await db.schema.createIndex('images_by_visibility').on('images').columns(['visibility', 'created_at', 'id']).execute()
  await db.schema.createIndex('images_by_name').on('images').column('name').execute()
  await db.schema.createIndex('images_by_status').on('images').column('status').execute()
  await db.schema.createIndex('images_by_resource').on('images').column('resource_id').execute()
  await createMetadata(db, 'image_properties', { key: 'image_id', owner: 'images.id', kinds: false })
  await db.schema
    .createTable('image_tags')
    .addColumn('image_id', 'text', (c) => c.notNull().references('images.id').onDelete('cascade'))
    .addColumn('tag', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('image_tags_key', ['image_id', 'tag'])
    .execute()
  await db.schema.createIndex('image_tags_by_tag').on('image_tags').column('tag').execute()
}

async function createVolumes(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('volumes')
    .$call(addBlockColumns)
    .addColumn('read_only', 'integer', (c) => c.notNull())
    .addColumn('source_volume_id', 'text')
    .addColumn('snapshot_id', 'text')
    .addColumn('image_id', 'text')
    .addColumn('volume_type', 'text', (c) => c.notNull())
    .addColumn('availability_zone', 'text', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('volumes_by_project').on('volumes').columns(['project_id', 'created_at', 'id']).execute()
  await db.schema.createIndex('volumes_by_age').on('volumes').columns(['created_at', 'id']).execute()
  await db.schema.createIndex('volumes_by_name').on('volumes').column('name').execute()
  await db.schema.createIndex('volumes_by_resource').on('volumes').column('resource_id').execute()
  await createMetadata(db, 'volume_metadata', { key: 'volume_id', owner: 'volumes.id', kinds: false })
  await createMetadata(db, 'volume_image_metadata', { key: 'volume_id', owner: 'volumes.id', kinds: false })

  await db.schema
    .createTable('snapshots')
    .$call(addBlockColumns)
    .addColumn('volume_id', 'text', (c) => c.notNull().references('volumes.id'))
    .execute()
  await db.schema
    .createIndex('snapshots_by_project')
    .on('snapshots')
    .columns(['project_id', 'created_at', 'id'])
    .execute()
  await db.schema.createIndex('snapshots_by_age').on('snapshots').columns(['created_at', 'id']).execute()
  await db.schema.createIndex('snapshots_by_volume').on('snapshots').column('volume_id').execute()
  await db.schema.createIndex('snapshots_by_resource').on('snapshots').column('resource_id').execute()
  await createMetadata(db, 'snapshot_metadata', { key: 'snapshot_id', owner: 'snapshots.id', kinds: false })
  await createMetadata(db, 'snapshot_image_metadata', { key: 'snapshot_id', owner: 'snapshots.id', kinds: false })

  await db.schema
    .createTable('attachments')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('volume_id', 'text', (c) => c.notNull().references('volumes.id'))
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('instance_id', 'text')
    .addColumn('mode', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('mountpoint', 'text')
    .addColumn('host_name', 'text')
    .addColumn('connector', 'text')
    .addColumn('export_name', 'text', (c) => c.unique())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('attached_at', 'bigint')
    .addColumn('updated_at', 'bigint')
    .execute()
  await db.schema.createIndex('attachments_by_volume').on('attachments').column('volume_id').execute()
  await db.schema
    .createIndex('attachments_by_project')
    .on('attachments')
    .columns(['project_id', 'created_at', 'id'])
    .execute()
}

/** What volumes and snapshots have in common. */
function addBlockColumns<Table extends string, Column extends string>(table: CreateTableBuilder<Table, Column>) {
  return table
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('user_id', 'text', (c) => c.notNull())
    .addColumn('name', 'text')
    .addColumn('description', 'text')
    .addColumn('size_gib', 'bigint', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('bootable', 'integer', (c) => c.notNull())
    .addColumn('resource_id', 'text', (c) => c.notNull().references('resources.id'))
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('updated_at', 'bigint')
}

/** Names and values of one kind of thing; they go with their owner. */
async function createMetadata(
  db: Kysely<unknown>,
  table: string,
  { key, owner, kinds }: { key: string; owner: string; kinds: boolean },
): Promise<void> {
  const columns = db.schema
    .createTable(table)
    .addColumn(key, 'text', (c) => c.notNull().references(owner).onDelete('cascade'))
  await (kinds ? columns.addColumn('kind', 'text', (c) => c.notNull()) : columns)
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('value', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint(`${table}_key`, (kinds ? [key, 'kind', 'name'] : [key, 'name']) as never)
    .execute()
  if (!kinds) await db.schema.createIndex(`${table}_by_value`).on(table).columns(['name', 'value']).execute()
}

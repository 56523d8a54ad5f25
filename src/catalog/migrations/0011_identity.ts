/**
 * Domains, the tree of projects, groups, own roles, grants on any of them, credentials, and entries of the service catalog.
 *
 * A domain is a project that is its own domain. Names become unique in their domain: the old column with the constraint keeps the
 * domain and the name as one key, because SQLite cannot drop a constraint of a column. What decides rights is kept expanded, so that
 * one join by primary keys answers: `actors` (a user and the user's groups), `project_ancestors` (a project and what is above it)
 * and `role_expansion` (a role and what it implies).
 */

import { type Kysely, sql } from 'kysely'

export async function identity(db: Kysely<unknown>): Promise<void> {
  await domainsAndNames(db)
  await groupsAndActors(db)
  await grants(db)
  await credentials(db)
  await serviceCatalog(db)
}

async function domainsAndNames(db: Kysely<unknown>): Promise<void> {
  for (const table of ['projects', 'users', 'roles']) {
    await db.schema.alterTable(table).renameColumn('name', 'name_key').execute()
    await db.schema
      .alterTable(table)
      .addColumn('name', 'text', (c) => c.notNull().defaultTo(''))
      .execute()
    await db.schema.alterTable(table).addColumn('domain_id', 'text').execute()
    await db.schema
      .alterTable(table)
      .addColumn('extra', 'text', (c) => c.notNull().defaultTo('{}'))
      .execute()
    await db.schema.createIndex(`${table}_by_name`).on(table).columns(['name', 'id']).execute()
    await sql`update ${sql.table(table)} set name = name_key`.execute(db)
  }
  for (const table of ['projects', 'users'])
    await sql`update ${sql.table(table)} set domain_id = 'default', name_key = 'default/' || name_key`.execute(db)
  await sql`update roles set name_key = '/' || name_key`.execute(db)
  await db.schema
    .alterTable('roles')
    .addColumn('description', 'text', (c) => c.notNull().defaultTo(''))
    .execute()
  await db.schema.alterTable('projects').addColumn('parent_id', 'text').execute()
  await db.schema
    .alterTable('projects')
    .addColumn('is_domain', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
  await sql`update projects set parent_id = 'default'`.execute(db)
  await sql`insert into projects (id, name, name_key, domain_id, parent_id, is_domain, enabled, description, created_at)
    values ('default', 'Default', '/Default', 'default', null, 1, 1, 'The default domain', 0)`.execute(db)
  await db.schema.createIndex('projects_by_domain').on('projects').columns(['domain_id', 'name']).execute()
  await db.schema.createIndex('projects_by_parent').on('projects').column('parent_id').execute()
  await db.schema.createIndex('users_by_domain').on('users').columns(['domain_id', 'name']).execute()
  await db.schema
    .createTable('project_ancestors')
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('ancestor_id', 'text', (c) => c.notNull())
    .addColumn('depth', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('project_ancestors_key', ['project_id', 'ancestor_id'])
    .execute()
  await db.schema.createIndex('project_ancestors_by_ancestor').on('project_ancestors').column('ancestor_id').execute()
  await sql`insert into project_ancestors (project_id, ancestor_id, depth)
    select id, id, 0 from projects union all select id, 'default', 1 from projects where is_domain = 0`.execute(db)
  await db.schema
    .createTable('project_tags')
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('tag', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('project_tags_key', ['project_id', 'tag'])
    .execute()
}

async function groupsAndActors(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('groups')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('domain_id', 'text', (c) => c.notNull().references('projects.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('groups_by_domain', ['domain_id', 'name'])
    .execute()
  await db.schema.createIndex('groups_by_name').on('groups').columns(['name', 'id']).execute()
  await db.schema
    .createTable('actors')
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('actor_id', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('actors_key', ['user_id', 'actor_id'])
    .execute()
  await db.schema.createIndex('actors_by_actor').on('actors').column('actor_id').execute()
  await sql`insert into actors (user_id, actor_id) select id, id from users`.execute(db)
}

async function grants(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('role_implications')
    .addColumn('prior_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addColumn('implied_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('role_implications_key', ['prior_id', 'implied_id'])
    .execute()
  await db.schema
    .createTable('role_expansion')
    .addColumn('role_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addColumn('effective_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('role_expansion_key', ['role_id', 'effective_id'])
    .execute()
  await sql`insert into role_expansion (role_id, effective_id) select id, id from roles`.execute(db)
  // No foreign keys: an actor is a user or a group, a target a project, a domain or the system.
  await db.schema
    .createTable('grants')
    .addColumn('actor_id', 'text', (c) => c.notNull())
    .addColumn('target_id', 'text', (c) => c.notNull())
    .addColumn('role_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addColumn('inherited', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('grants_key', ['actor_id', 'target_id', 'role_id', 'inherited'])
    .execute()
  await db.schema.createIndex('grants_by_target').on('grants').column('target_id').execute()
  await db.schema.createIndex('grants_by_role').on('grants').column('role_id').execute()
  await sql`insert into grants (actor_id, target_id, role_id, inherited)
    select user_id, project_id, role_id, 0 from assignments`.execute(db)
  await db.schema.dropTable('assignments').execute()
}

async function credentials(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('application_credentials')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('project_id', 'text', (c) => c.notNull().references('projects.id').onDelete('cascade'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('description', 'text')
    .addColumn('secret_hash', 'text', (c) => c.notNull())
    .addColumn('unrestricted', 'integer', (c) => c.notNull())
    .addColumn('has_access_rules', 'integer', (c) => c.notNull())
    .addColumn('expires_at_us', 'bigint')
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('application_credentials_by_name', ['user_id', 'name'])
    .execute()
  await db.schema
    .createTable('application_credential_roles')
    .addColumn('credential_id', 'text', (c) => c.notNull().references('application_credentials.id').onDelete('cascade'))
    .addColumn('role_id', 'text', (c) => c.notNull().references('roles.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('application_credential_roles_key', ['credential_id', 'role_id'])
    .execute()
  await db.schema
    .createTable('access_rules')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('service', 'text', (c) => c.notNull())
    .addColumn('method', 'text', (c) => c.notNull())
    .addColumn('path', 'text', (c) => c.notNull())
    .addUniqueConstraint('access_rules_by_user', ['user_id', 'service', 'method', 'path'])
    .execute()
  await db.schema
    .createTable('application_credential_rules')
    .addColumn('credential_id', 'text', (c) => c.notNull().references('application_credentials.id').onDelete('cascade'))
    .addColumn('rule_id', 'text', (c) => c.notNull().references('access_rules.id'))
    .addPrimaryKeyConstraint('application_credential_rules_key', ['credential_id', 'rule_id'])
    .execute()
  await db.schema
    .createTable('credentials')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('user_id', 'text', (c) => c.notNull().references('users.id').onDelete('cascade'))
    .addColumn('project_id', 'text', (c) => c.references('projects.id').onDelete('cascade'))
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('blob', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('credentials_by_user').on('credentials').columns(['user_id', 'type']).execute()
  await db.schema.alterTable('tokens').addColumn('application_credential_id', 'text').execute()
  await db.schema
    .alterTable('tokens')
    .addColumn('system', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .createIndex('tokens_by_application_credential')
    .on('tokens')
    .column('application_credential_id')
    .execute()
}

async function serviceCatalog(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('regions')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('parent_id', 'text')
    .addColumn('extra', 'text', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('services')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('enabled', 'integer', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .execute()
  // No foreign keys: an endpoint may belong to a built-in service and a built-in region, which have no rows.
  await db.schema
    .createTable('endpoints')
    .addColumn('id', 'text', (c) => c.primaryKey().notNull())
    .addColumn('service_id', 'text', (c) => c.notNull())
    .addColumn('region_id', 'text')
    .addColumn('interface', 'text', (c) => c.notNull())
    .addColumn('url', 'text', (c) => c.notNull())
    .addColumn('enabled', 'integer', (c) => c.notNull())
    .addColumn('extra', 'text', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('endpoints_by_service').on('endpoints').column('service_id').execute()
}

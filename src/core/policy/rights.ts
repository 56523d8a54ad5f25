/**
 * Rights as the catalog has them at this moment. A caller is what a token granted when its request began; a transaction that ends a
 * long request asks here again.
 *
 * A user has in a project the roles that were granted to the user or to one of the user's groups, on the project itself or, if the
 * grant is inherited, on a project or domain above it; and the roles that those imply. Roles of a domain grant nothing themselves. An
 * application credential has no more of them than its own roles and what these imply.
 */

import { sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import type { Flag, ProjectRow, UserRow } from '../../catalog/schema.js'
import type { ApplicationCredentialId, ProjectId, RoleId, UserId } from '../../lib/ids.js'
import { mustKeep, type Rights, rightsOf } from './access.js'
import { NotAllowed, TokenInvalid } from '../model/errors.js'
import { extraOf, toUser, type WithDomain } from './identity_rows.js'
import type { Caller, Project, RoleReference, User } from '../model/records.js'

/** What grants on the whole system have as their target. */
export const systemTarget = 'system'

/** What a token is for: a project or a domain (by ID), the system, or nothing. */
export type Scope = { projectId: ProjectId | null; system?: boolean }

/** The credential that a token was obtained with, if it was one. */
export type CredentialId = ApplicationCredentialId | null

// As literals: every parameter of a prepared statement is given when it runs.
const one = sql.lit<Flag>(1)
const zero = sql.lit<Flag>(0)

const userBy = new Prepared<WithDomain<UserRow>, [id: UserId]>((db) =>
  db
    .selectFrom('users')
    .innerJoin('projects as domains', 'domains.id', 'users.domain_id')
    .selectAll('users')
    .select('domains.name as domain_name')
    .where('users.id', '=', '' as UserId)
    .where('users.enabled', '=', one)
    .where('domains.enabled', '=', one)
    .compile(),
)
const projectBy = new Prepared<ProjectRow, [id: ProjectId]>((db) =>
  db
    .selectFrom('projects')
    .selectAll('projects')
    .innerJoin('projects as domains', 'domains.id', 'projects.domain_id')
    .where('projects.id', '=', '' as ProjectId)
    .where('projects.enabled', '=', one)
    .where('domains.enabled', '=', one)
    .compile(),
)
/** A user, a project and a role of the one in the other. */
interface Assigned {
  user_id: UserId
  user_name: string
  user_description: string
  user_domain_id: ProjectId
  user_domain_name: string
  user_extra: string
  email: string | null
  default_project_id: ProjectId | null
  user_created_at: number
  project_id: ProjectId
  project_name: string
  project_description: string
  project_domain_id: ProjectId
  project_domain_name: string
  project_extra: string
  parent_id: ProjectId | null
  is_domain: number
  project_created_at: number
  role_id: RoleId
  role_name: string
}
/** One query, so that what it says of the user, the project and the roles is of one moment. */
const assignedIn = new Prepared<Assigned, [user: UserId, project: ProjectId]>((db) =>
  effective(db)
    .select([
      'users.id as user_id',
      'users.name as user_name',
      'users.description as user_description',
      'users.domain_id as user_domain_id',
      'user_domains.name as user_domain_name',
      'users.extra as user_extra',
      'users.email',
      'users.default_project_id',
      'users.created_at as user_created_at',
      'projects.id as project_id',
      'projects.name as project_name',
      'projects.description as project_description',
      'projects.domain_id as project_domain_id',
      'domains.name as project_domain_name',
      'projects.extra as project_extra',
      'projects.parent_id',
      'projects.is_domain',
      'projects.created_at as project_created_at',
      'roles.id as role_id',
      'roles.name as role_name',
    ])
    .orderBy('roles.name')
    .compile(),
)
/** The roles of a user who is enabled, in a project that is, both in domains that are. */
const effective = (db: Reader) =>
  db
    .selectFrom('actors')
    .innerJoin('project_ancestors as above', (join) => join.onTrue())
    .innerJoin('grants', (join) =>
      join.onRef('grants.actor_id', '=', 'actors.actor_id').onRef('grants.target_id', '=', 'above.ancestor_id'),
    )
    .innerJoin('role_expansion', 'role_expansion.role_id', 'grants.role_id')
    .innerJoin('roles', 'roles.id', 'role_expansion.effective_id')
    .innerJoin('users', 'users.id', 'actors.user_id')
    .innerJoin('projects as user_domains', 'user_domains.id', 'users.domain_id')
    .innerJoin('projects', 'projects.id', 'above.project_id')
    .innerJoin('projects as domains', 'domains.id', 'projects.domain_id')
    .where('actors.user_id', '=', '' as UserId)
    .where('above.project_id', '=', '' as ProjectId)
    .where((e) =>
      e.or([
        e.and([e('above.depth', '=', zero), e('grants.inherited', '=', zero)]),
        e.and([e('above.depth', '>', zero), e('grants.inherited', '=', one)]),
      ]),
    )
    .where('roles.domain_id', 'is', null)
    .where('users.enabled', '=', one)
    .where('user_domains.enabled', '=', one)
    .where('projects.enabled', '=', one)
    .where('domains.enabled', '=', one)
    .distinct()

const rolesIn = new Prepared<RoleReference, [user: UserId, project: ProjectId]>((db) =>
  effective(db).select(['roles.id', 'roles.name']).compile(),
)
/** Roles that grants on the target give: the system, where nothing is inherited. */
const systemRoles = new Prepared<RoleReference, [user: UserId]>((db) =>
  db
    .selectFrom('actors')
    .innerJoin('grants', 'grants.actor_id', 'actors.actor_id')
    .innerJoin('role_expansion', 'role_expansion.role_id', 'grants.role_id')
    .innerJoin('roles', 'roles.id', 'role_expansion.effective_id')
    .select(['roles.id', 'roles.name'])
    .where('actors.user_id', '=', '' as UserId)
    .where('grants.target_id', '=', sql.lit(systemTarget))
    .where('roles.domain_id', 'is', null)
    .distinct()
    .orderBy('roles.name')
    .compile(),
)
/** The names of all roles that a user has anywhere that is enabled. */
const rolesAnywhere = new Prepared<{ name: string }, [user: UserId]>((db) =>
  db
    .selectFrom('actors')
    .innerJoin('users', 'users.id', 'actors.user_id')
    .innerJoin('projects as user_domains', 'user_domains.id', 'users.domain_id')
    .innerJoin('grants', 'grants.actor_id', 'actors.actor_id')
    .innerJoin('role_expansion', 'role_expansion.role_id', 'grants.role_id')
    .innerJoin('roles', 'roles.id', 'role_expansion.effective_id')
    .leftJoin('projects', 'projects.id', 'grants.target_id')
    .leftJoin('projects as domains', 'domains.id', 'projects.domain_id')
    .select('roles.name')
    .where('actors.user_id', '=', '' as UserId)
    .where('roles.domain_id', 'is', null)
    .where('users.enabled', '=', one)
    .where('user_domains.enabled', '=', one)
    .where((e) =>
      e.or([
        e('grants.target_id', '=', sql.lit(systemTarget)),
        e.and([e('projects.enabled', '=', one), e('domains.enabled', '=', one)]),
      ]),
    )
    .distinct()
    .compile(),
)
const rolesOfCredential = new Prepared<{ id: RoleId; unrestricted: Flag }, [credential: ApplicationCredentialId]>(
  (db) =>
    db
      .selectFrom('application_credentials')
      .innerJoin(
        'application_credential_roles',
        'application_credential_roles.credential_id',
        'application_credentials.id',
      )
      .innerJoin('role_expansion', 'role_expansion.role_id', 'application_credential_roles.role_id')
      .select(['role_expansion.effective_id as id', 'application_credentials.unrestricted'])
      .where('application_credentials.id', '=', '' as ApplicationCredentialId)
      .distinct()
      .compile(),
)

const none: Rights = rightsOf([])

/** Whom a token of this user for this scope speaks for. undefined: gone, disabled, or without a role there. */
export async function callerNow(
  db: Reader,
  userId: UserId,
  { projectId, system = false }: Scope,
  credentialId: CredentialId = null,
): Promise<Caller | undefined> {
  if (projectId === null) {
    const user = await userBy.first(db, userId)
    if (user === undefined) return undefined
    const unscoped = {
      user: toUser(user),
      project: undefined,
      domain: undefined,
      system,
      credentialId,
      isRestricted: false,
    }
    if (!system) return { ...unscoped, roles: [], ...none }
    const roles = await systemRoles.all(db, userId)
    if (roles.length === 0) return undefined
    return { ...unscoped, roles, ...rightsOf(roles.map(({ name }) => name)) }
  }
  const rows = await assignedIn.all(db, userId, projectId)
  const [row] = rows
  if (row === undefined) return undefined
  const granted = rows.map(({ role_id: id, role_name: name }) => ({ id, name }))
  const { roles, isRestricted } = await allowedBy(db, credentialId, granted)
  if (roles.length === 0) return undefined
  const { user, project } = whoseRow(row)
  const scope = project.isDomain ? { project: undefined, domain: project } : { project, domain: undefined }
  return {
    user,
    ...scope,
    system: false,
    credentialId,
    isRestricted,
    roles,
    ...rightsOf(roles.map(({ name }) => name)),
  }
}

/** What a credential leaves of the roles that its user has; nothing if it is gone. */
async function allowedBy(
  db: Reader,
  credentialId: CredentialId,
  granted: RoleReference[],
): Promise<{ roles: RoleReference[]; isRestricted: boolean }> {
  if (credentialId === null) return { roles: granted, isRestricted: false }
  const allowed = await rolesOfCredential.all(db, credentialId)
  const ids = new Set(allowed.map(({ id }) => id))
  return { roles: granted.filter(({ id }) => ids.has(id)), isRestricted: allowed[0]?.unrestricted !== 1 }
}

function whoseRow(row: Assigned): { user: User; project: Project } {
  const user: User = {
    id: row.user_id,
    name: row.user_name,
    domain: { id: row.user_domain_id, name: row.user_domain_name },
    enabled: true,
    description: row.user_description,
    email: row.email,
    defaultProjectId: row.default_project_id,
    extra: extraOf(row.user_extra),
    createdAt: row.user_created_at,
  }
  const project: Project = {
    id: row.project_id,
    name: row.project_name,
    domain: { id: row.project_domain_id, name: row.project_domain_name },
    parentId: row.parent_id,
    isDomain: row.is_domain === 1,
    enabled: true,
    description: row.project_description,
    extra: extraOf(row.project_extra),
    createdAt: row.project_created_at,
  }
  return { user, project }
}

/** Throws TokenInvalid or NotAllowed if the caller has lost a right since the request began. One statement: every upload asks. */
export async function requireStill(db: Reader, caller: Caller): Promise<void> {
  // Every read and change on its behalf asks the grant itself.
  if (caller.grant !== undefined) return
  const { user, project, domain, system, credentialId } = caller
  const scopeId = project?.id ?? domain?.id
  if (scopeId === undefined) {
    const now = await callerNow(db, user.id, { projectId: null, system })
    if (now === undefined) throw new TokenInvalid()
    return mustKeep(caller, now)
  }
  const granted = await rolesIn.all(db, user.id, scopeId)
  const { roles } = await allowedBy(db, credentialId, granted)
  if (roles.length === 0) throw new TokenInvalid()
  mustKeep(caller, rightsOf(roles.map(({ name }) => name)))
}

/** Throws TokenInvalid or NotAllowed unless the caller is still an administrator. */
export async function requireStillAdmin(db: Reader, caller: Caller): Promise<void> {
  if (!caller.isAdmin) throw new NotAllowed('admin')
  await requireStill(db, caller)
}

/**
 * Is what this user has attached in this project served? Only while the project is enabled and the user may write there.
 * `userId` null: an attachment of an earlier version, whose user is not known; only the project counts.
 */
export async function servesAttachment(db: Reader, userId: UserId | null, projectId: ProjectId): Promise<boolean> {
  if ((await projectBy.first(db, projectId)) === undefined) return false
  if (userId === null) return true
  const here = await rolesIn.all(db, userId, projectId)
  if (rightsOf(here.map(({ name }) => name)).canWrite) return true
  // An administrator's rights do not end at the project that they come from.
  return rightsOf((await rolesAnywhere.all(db, userId)).map(({ name }) => name)).isAdmin
}

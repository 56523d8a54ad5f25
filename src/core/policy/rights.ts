/**
 * Rights as the catalog has them at this moment. A caller is what a token granted when its request began; a transaction that ends a
 * long request asks here again.
 */

import { sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import type { ProjectRow, UserRow } from '../../catalog/schema.js'
import type { ProjectId, RoleId, UserId } from '../../lib/ids.js'
import { mustKeep, type Rights, rightsOf } from './access.js'
import { NotAllowed, TokenInvalid } from '../model/errors.js'
import { toUser } from './identity_rows.js'
import type { Caller, Project, User } from '../model/records.js'

const userBy = new Prepared<UserRow, [id: UserId]>((db) =>
  db
    .selectFrom('users')
    .selectAll()
    .where('id', '=', '' as UserId)
    .compile(),
)
const projectBy = new Prepared<ProjectRow, [id: ProjectId]>((db) =>
  db
    .selectFrom('projects')
    .selectAll()
    .where('id', '=', '' as ProjectId)
    .compile(),
)
/** A user, a project and a role of the one in the other. */
interface Assigned {
  user_id: UserId
  user_name: string
  user_description: string
  email: string | null
  default_project_id: ProjectId | null
  user_created_at: number
  project_id: ProjectId
  project_name: string
  project_description: string
  project_created_at: number
  role_id: RoleId
  role_name: string
}
/** One query, so that what it says of the user, the project and the roles is of one moment. */
const assignedIn = new Prepared<Assigned, [user: UserId, project: ProjectId]>((db) =>
  enabled(db, '' as UserId)
    .select([
      'users.id as user_id',
      'users.name as user_name',
      'users.description as user_description',
      'users.email',
      'users.default_project_id',
      'users.created_at as user_created_at',
      'projects.id as project_id',
      'projects.name as project_name',
      'projects.description as project_description',
      'projects.created_at as project_created_at',
      'roles.id as role_id',
      'roles.name as role_name',
    ])
    .where('assignments.project_id', '=', '' as ProjectId)
    .orderBy('roles.name')
    .compile(),
)
/** What is assigned to a user who is enabled, in projects that are. */
const enabled = (db: Reader, user: UserId) =>
  db
    .selectFrom('assignments')
    .innerJoin('users', 'users.id', 'assignments.user_id')
    .innerJoin('projects', 'projects.id', 'assignments.project_id')
    .innerJoin('roles', 'roles.id', 'assignments.role_id')
    .where('assignments.user_id', '=', user)
    // As literals: every parameter of a prepared statement is given when it runs.
    .where('users.enabled', '=', sql.lit(1))
    .where('projects.enabled', '=', sql.lit(1))
const effective = (db: Reader, user: UserId) => enabled(db, user).select(['assignments.project_id', 'roles.name'])
const effectiveRoles = new Prepared<{ project_id: ProjectId; name: string }, [user: UserId]>((db) =>
  effective(db, '' as UserId).compile(),
)
const effectiveRolesIn = new Prepared<{ project_id: ProjectId; name: string }, [user: UserId, project: ProjectId]>(
  (db) =>
    effective(db, '' as UserId)
      .where('assignments.project_id', '=', '' as ProjectId)
      .compile(),
)

const none: Rights = rightsOf([])

/** Whom a token of this user for this project (null: unscoped) speaks for. undefined: gone, disabled, or without a role in the project. */
export async function callerNow(db: Reader, userId: UserId, projectId: ProjectId | null): Promise<Caller | undefined> {
  if (projectId === null) {
    const user = await userBy.first(db, userId)
    if (user === undefined || user.enabled !== 1) return undefined
    return { user: toUser(user), project: undefined, roles: [], ...none }
  }
  const rows = await assignedIn.all(db, userId, projectId)
  const [row] = rows
  if (row === undefined) return undefined
  const roles = rows.map(({ role_id: id, role_name: name }) => ({ id, name }))
  return { ...whoseRow(row), roles, ...rightsOf(roles.map(({ name }) => name)) }
}

function whoseRow(row: Assigned): { user: User; project: Project } {
  const user = {
    id: row.user_id,
    name: row.user_name,
    enabled: true,
    description: row.user_description,
    email: row.email,
    defaultProjectId: row.default_project_id,
    createdAt: row.user_created_at,
  }
  const project = {
    id: row.project_id,
    name: row.project_name,
    enabled: true,
    description: row.project_description,
    createdAt: row.project_created_at,
  }
  return { user, project }
}

/** Throws TokenInvalid or NotAllowed if the caller has lost a right since the request began. One statement: every upload asks. */
export async function requireStill(db: Reader, caller: Caller): Promise<void> {
  // Every read and change on its behalf asks the grant itself.
  if (caller.grant !== undefined) return
  if (caller.project === undefined) {
    if ((await callerNow(db, caller.user.id, null)) === undefined) throw new TokenInvalid()
    return
  }
  const roles = await effectiveRolesIn.all(db, caller.user.id, caller.project.id)
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
  if ((await projectBy.first(db, projectId))?.enabled !== 1) return false
  if (userId === null) return true
  const roles = await effectiveRoles.all(db, userId)
  const here = roles.filter((role) => role.project_id === projectId)
  // An administrator's rights do not end at the project that they come from.
  return rightsOf(here.map(({ name }) => name)).canWrite || rightsOf(roles.map(({ name }) => name)).isAdmin
}

/**
 * Rights as the catalog has them at this moment. A caller is what a token granted when its request began; a transaction that ends a
 * long request asks here again.
 */

import { sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/sqlite/prepared.js'
import type { ProjectRow, UserRow } from '../../catalog/schema.js'
import type { ProjectId, UserId } from '../../lib/ids.js'
import { mustKeep, type Rights, rightsOf } from './access.js'
import { NotAllowed, TokenInvalid } from '../model/errors.js'
import { toProject, toUser } from './identity_rows.js'
import type { Caller, Role } from '../model/records.js'

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
const rolesOf = new Prepared<Role, [user: UserId, project: ProjectId]>((db) =>
  db
    .selectFrom('assignments')
    .innerJoin('roles', 'roles.id', 'assignments.role_id')
    .select(['roles.id', 'roles.name'])
    .where('user_id', '=', '' as UserId)
    .where('project_id', '=', '' as ProjectId)
    .orderBy('roles.name')
    .compile(),
)
/** Roles of a user who is enabled, in projects that are. */
const effective = (db: Reader, user: UserId) =>
  db
    .selectFrom('assignments')
    .innerJoin('users', 'users.id', 'assignments.user_id')
    .innerJoin('projects', 'projects.id', 'assignments.project_id')
    .innerJoin('roles', 'roles.id', 'assignments.role_id')
    .select(['assignments.project_id', 'roles.name'])
    .where('assignments.user_id', '=', user)
    // As literals: every parameter of a prepared statement is given when it runs.
    .where('users.enabled', '=', sql.lit(1))
    .where('projects.enabled', '=', sql.lit(1))
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
export function callerNow(db: Reader, userId: UserId, projectId: ProjectId | null): Caller | undefined {
  const user = userBy.first(db, userId)
  if (user === undefined || user.enabled !== 1) return undefined
  if (projectId === null) return { user: toUser(user), project: undefined, roles: [], ...none }
  const project = projectBy.first(db, projectId)
  if (project === undefined || project.enabled !== 1) return undefined
  const roles = rolesOf.all(db, userId, projectId)
  if (roles.length === 0) return undefined
  return { user: toUser(user), project: toProject(project), roles, ...rightsOf(roles.map(({ name }) => name)) }
}

/** Throws TokenInvalid or NotAllowed if the caller has lost a right since the request began. One statement: every upload asks. */
export function requireStill(db: Reader, caller: Caller): void {
  if (caller.project === undefined) {
    if (callerNow(db, caller.user.id, null) === undefined) throw new TokenInvalid()
    return
  }
  const roles = effectiveRolesIn.all(db, caller.user.id, caller.project.id)
  if (roles.length === 0) throw new TokenInvalid()
  mustKeep(caller, rightsOf(roles.map(({ name }) => name)))
}

/** Throws TokenInvalid or NotAllowed unless the caller is still an administrator. */
export function requireStillAdmin(db: Reader, caller: Caller): void {
  if (!caller.isAdmin) throw new NotAllowed('admin')
  requireStill(db, caller)
}

/**
 * Is what this user has attached in this project served? Only while the project is enabled and the user may write there.
 * `userId` null: an attachment of an earlier version, whose user is not known; only the project counts.
 */
export function servesAttachment(db: Reader, userId: UserId | null, projectId: ProjectId): boolean {
  if (projectBy.first(db, projectId)?.enabled !== 1) return false
  if (userId === null) return true
  const roles = effectiveRoles.all(db, userId)
  const here = roles.filter((role) => role.project_id === projectId)
  // An administrator's rights do not end at the project that they come from.
  return rightsOf(here.map(({ name }) => name)).canWrite || rightsOf(roles.map(({ name }) => name)).isAdmin
}

/**
 * Users, projects, roles and assignments. Functions that change something are for administrators: `by` is the caller, whose rights
 * are checked in the transaction that changes something. Without `by` it is the server itself or its operator who asks.
 *
 * There is one domain: id `default`, name `Default`. There are three roles: `admin`, `member`, `reader`.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { behind, type Sort } from '../../catalog/paging.js'
import { type AssignmentRow, flag, type ProjectRow, type UserRow } from '../../catalog/schema.js'
import { newProjectId, newRoleId, newUserId, type ProjectId, type RoleId, type UserId } from '../../lib/ids.js'
import {
  AssignmentNotFound,
  InvalidArgument,
  NameTaken,
  ProjectNotFound,
  RoleNotFound,
  UserNotFound,
} from '../model/errors.js'
import { toProject, toUser } from '../policy/identity_rows.js'
import { column } from '../lists/pages.js'
import type { Passwords } from './passwords.js'
import type { Assignment, Caller, Project, Role, User } from '../model/records.js'
import { requireStillAdmin } from '../policy/rights.js'
import { collected, rowsInSlices, SlicePace } from '../lists/slices.js'
import { deleteTokens } from './token_rows.js'

export const roleNames = ['admin', 'member', 'reader'] as const
export type RoleName = (typeof roleNames)[number]

export interface NewUser {
  name: string
  password: string
  description?: string | undefined
  email?: string | null | undefined
  enabled?: boolean | undefined
  defaultProjectId?: ProjectId | null | undefined
}

interface ListFilter {
  name?: string | undefined
  enabled?: boolean | undefined
}

interface AssignmentFilter {
  userId?: string | undefined
  projectId?: string | undefined
  roleId?: string | undefined
}

export interface NewProject {
  name: string
  description?: string | undefined
  enabled?: boolean | undefined
}

export class Identity {
  readonly #catalog: Catalog
  readonly #passwords: Passwords

  constructor(catalog: Catalog, passwords: Passwords) {
    this.#catalog = catalog
    this.#passwords = passwords
  }

  // ---- users ----

  /** Throws UserNotFound. */
  async user(id: string): Promise<User> {
    return toUser(await userRow(this.#catalog.db, id))
  }

  async users(filter: ListFilter = {}): Promise<User[]> {
    return collected(this.userSlices(filter))
  }

  /** By name. */
  async *userSlices(filter: ListFilter = {}, pace = new SlicePace()): AsyncGenerator<User[], void, void> {
    const { name, enabled } = filter
    let query = this.#catalog.db.selectFrom('users').selectAll().orderBy('name')
    if (name !== undefined) query = query.where('name', '=', name)
    if (enabled !== undefined) query = query.where('enabled', '=', flag(enabled))
    const slices = rowsInSlices<UserRow>(pace, (size, last) =>
      (last === undefined ? query : query.where('name', '>', last.name)).limit(size).execute(),
    )
    for await (const rows of slices) yield rows.map(toUser)
  }

  /** Throws NameTaken, BadPassword, InvalidArgument, ProjectNotFound. */
  async createUser(user: NewUser, by?: Caller): Promise<User> {
    const passwordHash = await this.#passwords.hash(user.password, user.name)
    return this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      return insertUser(tx, user, passwordHash)
    })
  }

  /** A new password, a disabled user: all its tokens are revoked. */
  async updateUser(
    id: string,
    change: { [Field in keyof NewUser]?: NewUser[Field] | undefined },
    by?: Caller,
  ): Promise<User> {
    const { password } = change
    const passwordHash = password === undefined ? undefined : await this.#passwords.hash(password, id)
    return this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await userRow(db, id)
      if (change.name !== undefined && change.name !== row.name) await nameMustBeFree(db, 'user', change.name)
      if (change.defaultProjectId) await projectRow(db, change.defaultProjectId)
      const next: UserRow = {
        ...row,
        name: change.name ?? row.name,
        password_hash: passwordHash ?? row.password_hash,
        description: change.description ?? row.description,
        email: change.email === undefined ? row.email : change.email,
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
        default_project_id: change.defaultProjectId === undefined ? row.default_project_id : change.defaultProjectId,
      }
      await db.updateTable('users').set(next).where('id', '=', row.id).execute()
      if (passwordHash !== undefined || change.enabled === false) {
        await deleteTokens(db, 'user_id', row.id)
      }
      return toUser(next)
    })
  }

  /** Its tokens and roles go with it. Throws UserNotFound. */
  async deleteUser(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      await userRow(db, id)
      await db
        .deleteFrom('users')
        .where('id', '=', id as UserId)
        .execute()
    })
  }

  // ---- projects ----

  /** Throws ProjectNotFound. */
  async project(id: string): Promise<Project> {
    return toProject(await projectRow(this.#catalog.db, id))
  }

  async projects(filter: ListFilter = {}): Promise<Project[]> {
    return collected(this.projectSlices(filter))
  }

  /** By name; `userId`: those in which this user has a role. */
  async *projectSlices(
    filter: ListFilter & { userId?: string | undefined } = {},
    pace = new SlicePace(),
  ): AsyncGenerator<Project[], void, void> {
    const { name, enabled, userId } = filter
    let query = this.#catalog.db.selectFrom('projects').selectAll().orderBy('name')
    if (name !== undefined) query = query.where('name', '=', name)
    if (enabled !== undefined) query = query.where('enabled', '=', flag(enabled))
    if (userId !== undefined)
      query = query.where('id', 'in', (e) =>
        e
          .selectFrom('assignments')
          .select('project_id')
          .where('user_id', '=', userId as UserId),
      )
    const slices = rowsInSlices<ProjectRow>(pace, (size, last) =>
      (last === undefined ? query : query.where('name', '>', last.name)).limit(size).execute(),
    )
    for await (const rows of slices) yield rows.map(toProject)
  }

  /** Throws NameTaken, InvalidArgument. */
  async createProject(project: NewProject, by?: Caller): Promise<Project> {
    return this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      return insertProject(tx, project)
    })
  }

  /** Tokens for a disabled project are revoked, and with them those that were obtained with one. */
  async updateProject(
    id: string,
    change: { [Field in keyof NewProject]?: NewProject[Field] | undefined },
    by?: Caller,
  ): Promise<Project> {
    return this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await projectRow(db, id)
      if (change.name !== undefined && change.name !== row.name) await nameMustBeFree(db, 'project', change.name)
      const next: ProjectRow = {
        ...row,
        name: change.name ?? row.name,
        description: change.description ?? row.description,
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
      }
      await db.updateTable('projects').set(next).where('id', '=', row.id).execute()
      if (change.enabled === false) await deleteTokens(db, 'project_id', row.id)
      return toProject(next)
    })
  }

  // ---- roles ----

  async roles(filter: { name?: string | undefined } = {}): Promise<Role[]> {
    const roles = await this.#catalog.db.selectFrom('roles').selectAll().orderBy('name').execute()
    return filter.name === undefined ? roles : roles.filter((role) => role.name === filter.name)
  }

  /** Throws RoleNotFound. */
  async role(id: string): Promise<Role> {
    return roleRow(this.#catalog.db, { id })
  }

  async assignments(filter: AssignmentFilter = {}): Promise<Assignment[]> {
    return collected(this.assignmentSlices(filter))
  }

  /** By user, project and role. */
  async *assignmentSlices(
    filter: AssignmentFilter = {},
    pace = new SlicePace(),
  ): AsyncGenerator<Assignment[], void, void> {
    const { db } = this.#catalog
    let query = db.selectFrom('assignments').selectAll()
    for (const key of assignmentKey) query = query.orderBy(key)
    if (filter.userId !== undefined) query = query.where('user_id', '=', filter.userId as UserId)
    if (filter.projectId !== undefined) query = query.where('project_id', '=', filter.projectId as ProjectId)
    if (filter.roleId !== undefined) query = query.where('role_id', '=', filter.roleId as RoleId)
    const valuesOf = (row: AssignmentRow) => assignmentKey.map((key) => row[key])
    const slices = rowsInSlices<AssignmentRow>(pace, (size, last) =>
      (last === undefined ? query : query.where(behind(assignmentSorts, valuesOf(last)))).limit(size).execute(),
    )
    for await (const rows of slices) yield await toAssignments(db, rows)
  }

  /** Idempotent. Throws UserNotFound, ProjectNotFound, RoleNotFound. */
  async assign(assignment: { userId: UserId; projectId: ProjectId; roleId: RoleId }, by?: Caller): Promise<void> {
    await this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      await insertAssignment(tx, assignment)
    })
  }

  /** Throws AssignmentNotFound. */
  async unassign(
    { userId, projectId, roleId }: { userId: UserId; projectId: ProjectId; roleId: RoleId },
    by?: Caller,
  ): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const { numDeletedRows } = await db
        .deleteFrom('assignments')
        .where('user_id', '=', userId)
        .where('project_id', '=', projectId)
        .where('role_id', '=', roleId)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new AssignmentNotFound()
    })
  }

  /**
   * A user with a role in a project, all in one transaction; the project is made when there is none of that name.
   * What `atoll user create` and the first start do. Throws NameTaken for the user, RoleNotFound, BadPassword.
   */
  async createMember(member: { user: NewUser; project: string; role: RoleName | string }): Promise<User> {
    const passwordHash = await this.#passwords.hash(member.user.password, member.user.name)
    return this.#catalog.transaction(async (tx) => {
      await seedRoles(tx)
      const role = await roleRow(tx.db, { name: member.role })
      const found = await tx.db
        .selectFrom('projects')
        .select('id')
        .where('name', '=', member.project)
        .executeTakeFirst()
      const projectId = found?.id ?? (await insertProject(tx, { name: member.project })).id
      const user = await insertUser(tx, { ...member.user, defaultProjectId: projectId }, passwordHash)
      await insertAssignment(tx, { userId: user.id, projectId, roleId: role.id })
      return user
    })
  }
}

// ---- rows ----

const assignmentKey = ['user_id', 'project_id', 'role_id'] as const
const assignmentSorts = assignmentKey.map((key): Sort => ({ expression: column(key), direction: 'asc' }))

/** With the user, the project and the role of each. */
async function toAssignments(db: Reader, rows: readonly AssignmentRow[]): Promise<Assignment[]> {
  const idsOf = <Id>(id: (row: AssignmentRow) => Id): Id[] => [...new Set(rows.map(id))]
  const userIds = idsOf((row) => row.user_id)
  const projectIds = idsOf((row) => row.project_id)
  const users = byId((await db.selectFrom('users').selectAll().where('id', 'in', userIds).execute()).map(toUser))
  const found = await db.selectFrom('projects').selectAll().where('id', 'in', projectIds).execute()
  const projects = byId(found.map(toProject))
  const roles = byId(await db.selectFrom('roles').selectAll().execute())
  return rows.flatMap((row) => {
    const user = users.get(row.user_id)
    const project = projects.get(row.project_id)
    const role = roles.get(row.role_id)
    return user && project && role ? [{ user, project, role }] : []
  })
}

async function seedRoles({ db }: Transaction): Promise<void> {
  for (const name of roleNames) {
    await db
      .insertInto('roles')
      .values({ id: newRoleId(), name })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
  }
}

async function insertUser({ db }: Transaction, user: NewUser, passwordHash: string): Promise<User> {
  await nameMustBeFree(db, 'user', user.name)
  if (user.defaultProjectId) await projectRow(db, user.defaultProjectId)
  const row: UserRow = {
    id: newUserId(),
    name: user.name,
    password_hash: passwordHash,
    enabled: flag(user.enabled ?? true),
    description: user.description ?? '',
    email: user.email ?? null,
    default_project_id: user.defaultProjectId ?? null,
    created_at: Date.now(),
  }
  await db.insertInto('users').values(row).execute()
  return toUser(row)
}

async function insertProject({ db }: Transaction, project: NewProject): Promise<Project> {
  await nameMustBeFree(db, 'project', project.name)
  const row: ProjectRow = {
    id: newProjectId(),
    name: project.name,
    enabled: flag(project.enabled ?? true),
    description: project.description ?? '',
    created_at: Date.now(),
  }
  await db.insertInto('projects').values(row).execute()
  return toProject(row)
}

async function insertAssignment(
  { db }: Transaction,
  { userId, projectId, roleId }: { userId: UserId; projectId: ProjectId; roleId: RoleId },
): Promise<void> {
  await userRow(db, userId)
  await projectRow(db, projectId)
  await roleRow(db, { id: roleId })
  await db
    .insertInto('assignments')
    .values({ user_id: userId, project_id: projectId, role_id: roleId })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Also judges it: names are what people type. */
async function nameMustBeFree(db: Reader, kind: 'user' | 'project', name: string): Promise<void> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  if (name === '' || name.length > 255 || /[\x00-\x1f\x7f]/.test(name)) {
    throw new InvalidArgument(`the name of a ${kind} has 1 to 255 characters and no control characters`)
  }
  const table = kind === 'user' ? ('users' as const) : ('projects' as const)
  const taken = await db.selectFrom(table).select('id').where('name', '=', name).executeTakeFirst()
  if (taken !== undefined) throw new NameTaken(kind, name)
}

async function userRow(db: Reader, id: string): Promise<UserRow> {
  const row = await db
    .selectFrom('users')
    .selectAll()
    .where('id', '=', id as UserId)
    .executeTakeFirst()
  if (row === undefined) throw new UserNotFound(id)
  return row
}

async function projectRow(db: Reader, id: string): Promise<ProjectRow> {
  const row = await db
    .selectFrom('projects')
    .selectAll()
    .where('id', '=', id as ProjectId)
    .executeTakeFirst()
  if (row === undefined) throw new ProjectNotFound(id)
  return row
}

async function roleRow(db: Reader, by: { id: string } | { name: string }): Promise<Role> {
  const query = db.selectFrom('roles').selectAll()
  const found = 'id' in by ? query.where('id', '=', by.id as RoleId) : query.where('name', '=', by.name)
  const row = await found.executeTakeFirst()
  if (row === undefined) throw new RoleNotFound('id' in by ? by.id : by.name)
  return row
}

function byId<Thing extends { id: string }>(things: Thing[]): Map<string, Thing> {
  return new Map(things.map((thing) => [thing.id, thing]))
}

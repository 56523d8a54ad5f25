/**
 * Who has which role where: grants to users and groups on projects, domains and the system. An inherited grant holds for the projects
 * below its target, not for the target itself.
 */

import { sql } from 'kysely'
import type { Catalog } from '../../catalog/catalog.js'
import { behind, type Sort } from '../../catalog/paging.js'
import { flag, type GrantRow } from '../../catalog/schema.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { GroupId, ProjectId, RoleId, UserId } from '../../lib/ids.js'
import { column } from '../lists/pages.js'
import { collected, rowsInSlices, SlicePace } from '../lists/slices.js'
import { AssignmentNotFound, DomainNotFound, InvalidArgument, ProjectNotFound } from '../model/errors.js'
import type { Assignment, AssignmentActor, AssignmentTarget, Caller, NamedInDomain, Role } from '../model/records.js'
import { requireStillAdmin, systemTarget } from '../policy/rights.js'
import { requireGroup } from './groups.js'
import { requireProject } from './projects.js'
import { requireRole, toRole } from './roles.js'
import { requireUser } from './users.js'

/** One of `userId` and `groupId`; one of `projectId` (a domain's too) and `system`. */
export interface GrantPlace {
  userId?: string | undefined
  groupId?: string | undefined
  projectId?: string | undefined
  /** Whether `projectId` must be a domain's, or a project's; undefined: either. */
  isDomain?: boolean | undefined
  system?: boolean | undefined
}

export interface Grant extends GrantPlace {
  roleId: string
  /** Default: false. */
  inherited?: boolean | undefined
}

export interface AssignmentFilter extends GrantPlace {
  roleId?: string | undefined
  inherited?: boolean | undefined
  /** Also on all projects below `projectId`. */
  subtree?: boolean | undefined
  /** What users have in the end: of their groups, by inheritance, with implied roles, without roles of domains. */
  effective?: boolean | undefined
}

export class Grants {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  async assignments(filter: AssignmentFilter = {}): Promise<Assignment[]> {
    return collected(this.assignmentSlices(filter))
  }

  /** By actor, target and role. */
  async *assignmentSlices(
    filter: AssignmentFilter = {},
    pace = new SlicePace(),
  ): AsyncGenerator<Assignment[], void, void> {
    const { db } = this.#catalog
    const query = filter.effective === true ? effectiveGrants(db, filter) : plainGrants(db, filter)
    const slices = rowsInSlices<GrantRow>(pace, (size, last) =>
      sql<GrantRow>`select * from (${query}) as listed
        ${
          last === undefined
            ? sql``
            : sql`where ${behind(
                sorts,
                keyColumns.map((key) => last[key]),
              )}`
        }
        order by ${sql.join(keyColumns.map((key) => sql.ref(key)))} limit ${size}`
        .execute(db)
        .then(({ rows }) => rows),
    )
    for await (const slice of slices) yield await toAssignments(db, slice)
  }

  /** The roles granted to exactly this actor on exactly this target, by name. Throws what is not found. */
  async rolesOf(place: GrantPlace, inherited = false): Promise<Role[]> {
    const { db } = this.#catalog
    const found = await db
      .selectFrom('grants')
      .innerJoin('roles', 'roles.id', 'grants.role_id')
      .selectAll('roles')
      .where('grants.actor_id', '=', await actorOf(db, place))
      .where('grants.target_id', '=', await targetOf(db, place))
      .where('grants.inherited', '=', flag(inherited))
      .orderBy('roles.name')
      .execute()
    return found.map(toRole)
  }

  /** Throws what is not found. */
  async require(grant: Grant): Promise<void> {
    const { id } = await requireRole(this.#catalog.db, { id: grant.roleId })
    const roles = await this.rolesOf(grant, grant.inherited)
    if (!roles.some((role) => role.id === id)) throw new AssignmentNotFound()
  }

  /** Idempotent. Throws what is not found, InvalidArgument. */
  async assign(grant: Grant, by?: Caller): Promise<void> {
    await this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      await insertGrant(tx, grant)
    })
  }

  /** Throws what is not found. */
  async unassign(grant: Grant, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await rowOf(db, grant)
      let query = db.deleteFrom('grants')
      for (const key of keyColumns) query = query.where(key, '=', row[key] as never)
      const { numDeletedRows } = await query.executeTakeFirst()
      if (numDeletedRows === 0n) throw new AssignmentNotFound()
    })
  }
}

export async function insertGrant({ db }: Transaction, grant: Grant): Promise<void> {
  await db
    .insertInto('grants')
    .values(await rowOf(db, grant))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

async function rowOf(db: Reader, grant: Grant): Promise<GrantRow> {
  const role = await requireRole(db, { id: grant.roleId })
  const row: GrantRow = {
    actor_id: await actorOf(db, grant),
    target_id: await targetOf(db, grant),
    role_id: role.id,
    inherited: flag(grant.inherited ?? false),
  }
  if (role.domain_id !== null && row.target_id !== role.domain_id) {
    const target = row.target_id === systemTarget ? undefined : await requireProject(db, row.target_id)
    if (target?.domain_id !== role.domain_id)
      throw new InvalidArgument(`expected a target in the domain "${role.domain_id}" of the role`)
  }
  return row
}

async function actorOf(db: Reader, { userId, groupId }: GrantPlace): Promise<string> {
  if (groupId !== undefined) return (await requireGroup(db, groupId)).id
  return (await requireUser(db, userId ?? '')).id
}

async function targetOf(db: Reader, { projectId = '', isDomain, system = false }: GrantPlace): Promise<string> {
  if (system) return systemTarget
  const { id, is_domain } = await requireProject(db, projectId)
  if (isDomain === true && is_domain === 0) throw new DomainNotFound(projectId)
  if (isDomain === false && is_domain === 1) throw new ProjectNotFound(projectId)
  return id
}

// ---- lists ----

const keyColumns = ['actor_id', 'target_id', 'role_id', 'inherited'] as const
const sorts = keyColumns.map((key): Sort => ({ expression: column(key), direction: 'asc' }))

function plainGrants(db: Reader, filter: AssignmentFilter) {
  const { userId, groupId, projectId, system, roleId, inherited, subtree = false } = filter
  let query = db.selectFrom('grants').select([...keyColumns])
  const actorId = userId ?? groupId
  if (actorId !== undefined) query = query.where('actor_id', '=', actorId)
  // An ID that two filters disagree on belongs to nobody.
  if (userId !== undefined && groupId !== undefined) query = query.where('actor_id', '=', groupId)
  if (system === true) query = query.where('target_id', '=', systemTarget)
  if (projectId !== undefined)
    query = subtree
      ? query.where('target_id', 'in', (e) =>
          e
            .selectFrom('project_ancestors')
            .select('project_id')
            .where('ancestor_id', '=', projectId as ProjectId)
            .$castTo<{ project_id: string }>(),
        )
      : query.where('target_id', '=', projectId)
  if (roleId !== undefined) query = query.where('role_id', '=', roleId as RoleId)
  if (inherited !== undefined) query = query.where('inherited', '=', flag(inherited))
  return query
}

/** As rows of grants: to users, on projects and domains themselves. */
function effectiveGrants(db: Reader, filter: AssignmentFilter) {
  const { userId, groupId, projectId, system, roleId, subtree = false } = filter
  const roles = db
    .selectFrom('actors')
    .innerJoin('grants', 'grants.actor_id', 'actors.actor_id')
    .innerJoin('role_expansion', 'role_expansion.role_id', 'grants.role_id')
    .innerJoin('roles', 'roles.id', 'role_expansion.effective_id')
    .where('roles.domain_id', 'is', null)
  let onSystem = roles
    .select(['actors.user_id as actor_id', 'grants.target_id', 'roles.id as role_id', sql.lit(0).as('inherited')])
    .where('grants.target_id', '=', systemTarget)
  let onProjects = roles
    .innerJoin('project_ancestors', 'project_ancestors.ancestor_id', 'grants.target_id')
    .select([
      'actors.user_id as actor_id',
      'project_ancestors.project_id as target_id',
      'roles.id as role_id',
      sql.lit(0).as('inherited'),
    ])
    .where((e) =>
      e.or([
        e.and([e('project_ancestors.depth', '=', 0), e('grants.inherited', '=', 0)]),
        e.and([e('project_ancestors.depth', '>', 0), e('grants.inherited', '=', 1)]),
      ]),
    )
  if (userId !== undefined) {
    onSystem = onSystem.where('actors.user_id', '=', userId as UserId)
    onProjects = onProjects.where('actors.user_id', '=', userId as UserId)
  }
  if (groupId !== undefined) {
    onSystem = onSystem.where('actors.actor_id', '=', groupId)
    onProjects = onProjects.where('actors.actor_id', '=', groupId)
  }
  if (roleId !== undefined) {
    onSystem = onSystem.where('roles.id', '=', roleId as RoleId)
    onProjects = onProjects.where('roles.id', '=', roleId as RoleId)
  }
  if (projectId !== undefined) {
    onProjects = subtree
      ? onProjects.where('project_ancestors.project_id', 'in', (e) =>
          e
            .selectFrom('project_ancestors as below')
            .select('below.project_id')
            .where('below.ancestor_id', '=', projectId as ProjectId),
        )
      : onProjects.where('project_ancestors.project_id', '=', projectId as ProjectId)
    return onProjects.distinct()
  }
  if (system === true) return onSystem.distinct()
  return onProjects.$castTo<GrantRow>().union(onSystem.$castTo<GrantRow>())
}

/** With the actor, the target and the role of each; what was deleted meanwhile is left out. */
async function toAssignments(db: Reader, found: readonly GrantRow[]): Promise<Assignment[]> {
  if (found.length === 0) return []
  const actorIds = [...new Set(found.map((row) => row.actor_id))]
  const targetIds = [...new Set(found.map((row) => row.target_id))]
  const users = await db
    .selectFrom('users')
    .innerJoin('projects as domains', 'domains.id', 'users.domain_id')
    .select(['users.id', 'users.name', 'domains.id as domain_id', 'domains.name as domain_name'])
    .where('users.id', 'in', actorIds as UserId[])
    .execute()
  const groups = await db
    .selectFrom('groups')
    .innerJoin('projects as domains', 'domains.id', 'groups.domain_id')
    .select(['groups.id', 'groups.name', 'domains.id as domain_id', 'domains.name as domain_name'])
    .where('groups.id', 'in', actorIds as GroupId[])
    .execute()
  const projects = await db
    .selectFrom('projects')
    .innerJoin('projects as domains', 'domains.id', 'projects.domain_id')
    .select([
      'projects.id',
      'projects.name',
      'projects.is_domain',
      'domains.id as domain_id',
      'domains.name as domain_name',
    ])
    .where('projects.id', 'in', targetIds as ProjectId[])
    .execute()
  const roles = new Map((await db.selectFrom('roles').selectAll().execute()).map((row) => [row.id, toRole(row)]))
  const actors = new Map<string, AssignmentActor>()
  for (const row of users) actors.set(row.id, { kind: 'user', ...named(row) })
  for (const row of groups) actors.set(row.id, { kind: 'group', ...named(row) })
  const targets = new Map<string, AssignmentTarget>([[systemTarget, { kind: 'system' }]])
  for (const row of projects) targets.set(row.id, { kind: row.is_domain === 1 ? 'domain' : 'project', ...named(row) })
  return found.flatMap((row) => {
    const actor = actors.get(row.actor_id)
    const target = targets.get(row.target_id)
    const role = roles.get(row.role_id)
    return actor && target && role ? [{ actor, target, role, inherited: row.inherited === 1 }] : []
  })
}

const named = (row: { id: string; name: string; domain_id: ProjectId; domain_name: string }): NamedInDomain => ({
  id: row.id,
  name: row.name,
  domain: { id: row.domain_id, name: row.domain_name },
})

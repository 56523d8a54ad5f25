/** Groups of users: what is granted to a group is granted to its members. */

import type { Catalog } from '../../catalog/catalog.js'
import { behind, type Sort } from '../../catalog/paging.js'
import type { GroupRow } from '../../catalog/schema.js'
import type { Reader } from '../../catalog/types.js'
import { type GroupId, newGroupId, type ProjectId, type UserId } from '../../lib/ids.js'
import { column } from '../lists/pages.js'
import { rowsInSlices, SlicePace } from '../lists/slices.js'
import { GroupNotFound, MembershipNotFound, NameTaken } from '../model/errors.js'
import type { Caller, Extra, Group } from '../model/records.js'
import { extraOf } from '../policy/identity_rows.js'
import { requireStillAdmin } from '../policy/rights.js'
import { type Change, defaultDomainId, requireDomain, requireName, storedExtra } from './names.js'
import { requireUser } from './users.js'

export interface NewGroup {
  name: string
  domainId?: string | undefined
  description?: string | undefined
  extra?: Extra | undefined
}

export interface GroupFilter {
  name?: string | undefined
  domainId?: string | undefined
  /** Groups of this user. */
  userId?: string | undefined
}

export class Groups {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** Throws GroupNotFound. */
  async get(id: string): Promise<Group> {
    return toGroup(await requireGroup(this.#catalog.db, id))
  }

  /** By name. */
  async *slices(filter: GroupFilter = {}, pace = new SlicePace()): AsyncGenerator<Group[], void, void> {
    const { name, domainId, userId } = filter
    let query = rows(this.#catalog.db).orderBy('groups.name').orderBy('groups.id')
    if (name !== undefined) query = query.where('groups.name', '=', name)
    if (domainId !== undefined) query = query.where('groups.domain_id', '=', domainId as ProjectId)
    if (userId !== undefined)
      query = query.where('groups.id', 'in', (e) =>
        e
          .selectFrom('actors')
          .select('actor_id')
          .where('user_id', '=', userId as UserId)
          .$castTo<{ actor_id: GroupId }>(),
      )
    const slices = rowsInSlices<GroupWithDomain>(pace, (size, last) =>
      (last === undefined ? query : query.where(behind(byName, [last.name, last.id]))).limit(size).execute(),
    )
    for await (const slice of slices) yield slice.map(toGroup)
  }

  /** Throws NameTaken, InvalidArgument, DomainNotFound. */
  async create(group: NewGroup, by?: Caller): Promise<Group> {
    return this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const domainId = await requireDomain(db, group.domainId ?? defaultDomainId)
      await requireFreeGroupName(db, domainId, group.name)
      const row: GroupRow = {
        id: newGroupId(),
        domain_id: domainId,
        name: group.name,
        description: group.description ?? '',
        extra: storedExtra({}, group.extra),
        created_at: Date.now(),
      }
      await db.insertInto('groups').values(row).execute()
      return toGroup(await requireGroup(db, row.id))
    })
  }

  /** Throws GroupNotFound, NameTaken, InvalidArgument. */
  async update(id: string, change: Change<Omit<NewGroup, 'domainId'>>, by?: Caller): Promise<Group> {
    return this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const { domain_name, ...row } = await requireGroup(db, id)
      const name = change.name ?? row.name
      if (name !== row.name) await requireFreeGroupName(db, row.domain_id, name)
      const next: GroupRow = {
        ...row,
        name,
        description: change.description ?? row.description,
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('groups').set(next).where('id', '=', row.id).execute()
      return toGroup({ ...next, domain_name })
    })
  }

  /** Its grants and memberships go with it. Throws GroupNotFound. */
  async delete(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      await removeGroups(db, [(await requireGroup(db, id)).id])
    })
  }

  /** Idempotent. Throws GroupNotFound, UserNotFound. */
  async addMember(id: string, userId: string, by?: Caller): Promise<void> {
    await this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const group = await requireGroup(db, id)
      const user = await requireUser(db, userId)
      await db
        .insertInto('actors')
        .values({ user_id: user.id, actor_id: group.id })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    })
  }

  /** Throws GroupNotFound, UserNotFound, MembershipNotFound. */
  async removeMember(id: string, userId: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const membership = await membershipOf(db, id, userId)
      await db
        .deleteFrom('actors')
        .where('user_id', '=', membership.user_id)
        .where('actor_id', '=', membership.actor_id)
        .execute()
    })
  }

  /** Throws GroupNotFound, UserNotFound, MembershipNotFound. */
  async requireMember(id: string, userId: string): Promise<void> {
    await membershipOf(this.#catalog.db, id, userId)
  }
}

async function membershipOf(db: Reader, id: string, userId: string) {
  const group = await requireGroup(db, id)
  const user = await requireUser(db, userId)
  const membership = await db
    .selectFrom('actors')
    .selectAll()
    .where('user_id', '=', user.id)
    .where('actor_id', '=', group.id)
    .executeTakeFirst()
  if (membership === undefined) throw new MembershipNotFound()
  return membership
}

const byName: Sort[] = ['groups.name', 'groups.id'].map((key) => ({ expression: column(key), direction: 'asc' }))

type GroupWithDomain = GroupRow & { domain_name: string }

const rows = (db: Reader) =>
  db
    .selectFrom('groups')
    .innerJoin('projects as domains', 'domains.id', 'groups.domain_id')
    .selectAll('groups')
    .select('domains.name as domain_name')

/** Throws GroupNotFound. */
export async function requireGroup(db: Reader, id: string): Promise<GroupWithDomain> {
  const row = await rows(db)
    .where('groups.id', '=', id as GroupId)
    .executeTakeFirst()
  if (row === undefined) throw new GroupNotFound(id)
  return row
}

export async function removeGroups(db: Reader, ids: readonly GroupId[]): Promise<void> {
  for (const id of ids) {
    await db.deleteFrom('grants').where('actor_id', '=', id).execute()
    await db.deleteFrom('actors').where('actor_id', '=', id).execute()
    await db.deleteFrom('groups').where('id', '=', id).execute()
  }
}

async function requireFreeGroupName(db: Reader, domainId: ProjectId, name: string): Promise<void> {
  requireName('group', name)
  const taken = await db
    .selectFrom('groups')
    .select('id')
    .where('domain_id', '=', domainId)
    .where('name', '=', name)
    .executeTakeFirst()
  if (taken !== undefined) throw new NameTaken('group', name)
}

const toGroup = (row: GroupWithDomain): Group => ({
  id: row.id,
  name: row.name,
  domain: { id: row.domain_id, name: row.domain_name },
  description: row.description,
  extra: extraOf(row.extra),
})

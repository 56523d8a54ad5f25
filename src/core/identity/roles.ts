/**
 * Roles, and which role implies which. What the names `admin`, `member` and `reader` grant is said in policy/access.ts; these three are
 * made at the first start and stay as they are. A role of a domain grants nothing itself, but may imply others.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { RoleRow } from '../../catalog/schema.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { grouped } from '../../lib/grouped.js'
import { newRoleId, type ProjectId, type RoleId } from '../../lib/ids.js'
import { ImplicationNotFound, InvalidArgument, RoleFixed, RoleNotFound, RoleOfDomainImplied } from '../model/errors.js'
import type { Caller, Extra, Role } from '../model/records.js'
import { extraOf } from '../policy/identity_rows.js'
import { requireStillAdmin } from '../policy/rights.js'
import { type Change, nameKey, requireDomain, requireFreeName, storedExtra } from './names.js'

export const roleNames = ['admin', 'member', 'reader'] as const
export type RoleName = (typeof roleNames)[number]

export interface NewRole {
  name: string
  domainId?: string | undefined
  description?: string | undefined
  extra?: Extra | undefined
}

export interface Implication {
  prior: Role
  implied: Role[]
}

export class Roles {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** By name. `domainId`: the roles of a domain; default: the global ones. */
  async list(filter: { name?: string | undefined; domainId?: string | undefined } = {}): Promise<Role[]> {
    const { name, domainId } = filter
    let query = this.#catalog.db.selectFrom('roles').selectAll().orderBy('name').orderBy('id')
    query =
      domainId === undefined
        ? query.where('domain_id', 'is', null)
        : query.where('domain_id', '=', domainId as ProjectId)
    if (name !== undefined) query = query.where('name', '=', name)
    return (await query.execute()).map(toRole)
  }

  /** Throws RoleNotFound. */
  async get(id: string): Promise<Role> {
    return toRole(await requireRole(this.#catalog.db, { id }))
  }

  /** Throws NameTaken, InvalidArgument, DomainNotFound. */
  async create(role: NewRole, by?: Caller): Promise<Role> {
    return this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const domainId = role.domainId === undefined ? null : await requireDomain(db, role.domainId)
      await requireFreeName(db, 'role', domainId, role.name)
      const row: RoleRow = {
        id: newRoleId(),
        name: role.name,
        name_key: nameKey(domainId, role.name),
        domain_id: domainId,
        description: role.description ?? '',
        extra: storedExtra({}, role.extra),
      }
      await insertRole(db, row)
      return toRole(row)
    })
  }

  /** Throws RoleNotFound, RoleFixed, NameTaken, InvalidArgument. */
  async update(id: string, change: Change<Omit<NewRole, 'domainId'>>, by?: Caller): Promise<Role> {
    return this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await requireRole(db, { id })
      const name = change.name ?? row.name
      if (name !== row.name) {
        requireChangeable(row)
        await requireFreeName(db, 'role', row.domain_id, name)
      }
      const next: RoleRow = {
        ...row,
        name,
        name_key: nameKey(row.domain_id, name),
        description: change.description ?? row.description,
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('roles').set(next).where('id', '=', row.id).execute()
      return toRole(next)
    })
  }

  /** Its grants go with it. Throws RoleNotFound, RoleFixed. */
  async delete(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const row = await requireRole(db, { id })
      requireChangeable(row)
      await removeRoles(db, [row.id])
    })
  }

  // ---- implied roles ----

  /** Every role that implies others, and which directly. */
  async implications(): Promise<Implication[]> {
    return implicationsIn(this.#catalog.db)
  }

  /** Throws RoleNotFound. */
  async impliedBy(priorId: string): Promise<Implication> {
    const { db } = this.#catalog
    const prior = toRole(await requireRole(db, { id: priorId }))
    const found = (await implicationsIn(db)).find((each) => each.prior.id === prior.id)
    return found ?? { prior, implied: [] }
  }

  /** Throws RoleNotFound, ImplicationNotFound. */
  async implication(priorId: string, impliedId: string): Promise<{ prior: Role; implied: Role }> {
    const { prior, implied } = await this.impliedBy(priorId)
    await this.get(impliedId)
    const found = implied.find(({ id }) => id === impliedId)
    if (found === undefined) throw new ImplicationNotFound()
    return { prior, implied: found }
  }

  /** Idempotent. Throws RoleNotFound, RoleOfDomainImplied, RoleFixed, InvalidArgument. */
  async imply(priorId: string, impliedId: string, by?: Caller): Promise<void> {
    await this.#catalog.transaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const prior = await requireRole(db, { id: priorId })
      const implied = await requireRole(db, { id: impliedId })
      if (prior.id === implied.id) throw new InvalidArgument('expected two different roles')
      if (prior.domain_id === null && implied.domain_id !== null) throw new RoleOfDomainImplied()
      // Whoever may grant a role that looks harmless would make administrators.
      if (implied.name === 'admin' && implied.domain_id === null) throw new RoleFixed(implied.name)
      await db
        .insertInto('role_implications')
        .values({ prior_id: prior.id, implied_id: implied.id })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      await expandRoles(db)
    })
  }

  /** Throws RoleNotFound, ImplicationNotFound. */
  async stopImplying(priorId: string, impliedId: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const prior = await requireRole(db, { id: priorId })
      const implied = await requireRole(db, { id: impliedId })
      const { numDeletedRows } = await db
        .deleteFrom('role_implications')
        .where('prior_id', '=', prior.id)
        .where('implied_id', '=', implied.id)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new ImplicationNotFound()
      await expandRoles(db)
    })
  }
}

async function implicationsIn(db: Reader): Promise<Implication[]> {
  const roles = new Map((await db.selectFrom('roles').selectAll().execute()).map((row) => [row.id, toRole(row)]))
  const pairs = await db.selectFrom('role_implications').selectAll().orderBy('prior_id').orderBy('implied_id').execute()
  return [...grouped(pairs, ({ prior_id }) => prior_id)].flatMap(([priorId, of]) => {
    const prior = roles.get(priorId)
    return prior === undefined ? [] : [{ prior, implied: of.flatMap(({ implied_id }) => roles.get(implied_id) ?? []) }]
  })
}

/** Writes down what each role that implies others comes to. */
async function expandRoles(db: Reader): Promise<void> {
  const pairs = await db.selectFrom('role_implications').selectAll().execute()
  const implied = grouped(pairs, ({ prior_id }) => prior_id)
  const roles = await db.selectFrom('roles').select('id').execute()
  await db.deleteFrom('role_expansion').execute()
  for (const { id } of roles) {
    const reached = new Set<RoleId>([id])
    // A set is iterated over what is added to it meanwhile, too.
    for (const each of reached) for (const pair of implied.get(each) ?? []) reached.add(pair.implied_id)
    await db
      .insertInto('role_expansion')
      .values([...reached].map((effective) => ({ role_id: id, effective_id: effective })))
      .execute()
  }
}

async function insertRole(db: Reader, row: RoleRow): Promise<void> {
  await db.insertInto('roles').values(row).execute()
  await db.insertInto('role_expansion').values({ role_id: row.id, effective_id: row.id }).execute()
}

/** The three that have a meaning, where they are missing. */
export async function seedRoles({ db }: Transaction): Promise<void> {
  for (const name of roleNames) {
    const known = await db
      .selectFrom('roles')
      .select('id')
      .where('name_key', '=', nameKey(null, name))
      .executeTakeFirst()
    if (known !== undefined) continue
    const row = { id: newRoleId(), name, name_key: nameKey(null, name), domain_id: null, description: '', extra: '{}' }
    await insertRole(db, row)
  }
}

/** By ID, or by the name of a global role. Throws RoleNotFound. */
export async function requireRole(db: Reader, by: { id: string } | { name: string }): Promise<RoleRow> {
  const query = db.selectFrom('roles').selectAll()
  const row = await ('id' in by
    ? query.where('id', '=', by.id as RoleId)
    : query.where('name_key', '=', nameKey(null, by.name))
  ).executeTakeFirst()
  if (row === undefined) throw new RoleNotFound('id' in by ? by.id : by.name)
  return row
}

/** Grants, implications and places in credentials go by reference. */
export async function removeRoles(db: Reader, ids: readonly RoleId[]): Promise<void> {
  for (const id of ids) await db.deleteFrom('roles').where('id', '=', id).execute()
  if (ids.length > 0) await expandRoles(db)
}

function requireChangeable({ name, domain_id }: RoleRow): void {
  if (domain_id === null && roleNames.some((fixed) => fixed === name)) throw new RoleFixed(name)
}

export const toRole = (row: RoleRow): Role => ({
  id: row.id,
  name: row.name,
  domainId: row.domain_id,
  description: row.description,
  isFixed: row.domain_id === null && roleNames.some((fixed) => fixed === row.name),
  extra: extraOf(row.extra),
})

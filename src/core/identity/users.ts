/** Users. What changes something is for administrators: `by` is the caller, whose rights are checked in the transaction. */

import type { Catalog } from '../../catalog/catalog.js'
import { behind, type Sort } from '../../catalog/paging.js'
import { flag, type UserRow } from '../../catalog/schema.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { newUserId, type ProjectId, type UserId } from '../../lib/ids.js'
import { column } from '../lists/pages.js'
import { collected, rowsInSlices, SlicePace } from '../lists/slices.js'
import { UserNotFound } from '../model/errors.js'
import type { Caller, Extra, User } from '../model/records.js'
import { extraOf, toUser, type WithDomain } from '../policy/identity_rows.js'
import { requireStillAdmin } from '../policy/rights.js'
import { defaultDomainId, nameKey, requireDomain, requireFreeName, storedExtra } from './names.js'
import type { Passwords } from './passwords.js'
import { requireProject } from './projects.js'
import { deleteTokens } from './token_rows.js'

export interface NewUser {
  name: string
  /** undefined: the user cannot log in by password. */
  password?: string | undefined
  domainId?: string | undefined
  description?: string | undefined
  email?: string | null | undefined
  enabled?: boolean | undefined
  defaultProjectId?: ProjectId | null | undefined
  extra?: Extra | undefined
}

export interface UserFilter {
  name?: string | undefined
  enabled?: boolean | undefined
  domainId?: string | undefined
  /** Members of this group. */
  groupId?: string | undefined
}

/** No password has this hash. */
const noPassword = ''

export class Users {
  readonly #catalog: Catalog
  readonly #passwords: Passwords

  constructor(catalog: Catalog, passwords: Passwords) {
    this.#catalog = catalog
    this.#passwords = passwords
  }

  /** Throws UserNotFound. */
  async get(id: string): Promise<User> {
    return toUser(await requireUser(this.#catalog.db, id))
  }

  async list(filter: UserFilter = {}): Promise<User[]> {
    return collected(this.slices(filter))
  }

  /** By name. */
  async *slices(filter: UserFilter = {}, pace = new SlicePace()): AsyncGenerator<User[], void, void> {
    const { name, enabled, domainId, groupId } = filter
    let query = rows(this.#catalog.db).orderBy('users.name').orderBy('users.id')
    if (name !== undefined) query = query.where('users.name', '=', name)
    if (enabled !== undefined) query = query.where('users.enabled', '=', flag(enabled))
    if (domainId !== undefined) query = query.where('users.domain_id', '=', domainId as ProjectId)
    if (groupId !== undefined)
      query = query.where('users.id', 'in', (e) =>
        e.selectFrom('actors').select('user_id').where('actor_id', '=', groupId),
      )
    const slices = rowsInSlices<WithDomain<UserRow>>(pace, (size, last) =>
      (last === undefined ? query : query.where(behind(byName, [last.name, last.id]))).limit(size).execute(),
    )
    for await (const slice of slices) yield slice.map(toUser)
  }

  /** Throws NameTaken, BadPassword, InvalidArgument, DomainNotFound, ProjectNotFound. */
  async create(user: NewUser, by?: Caller): Promise<User> {
    const passwordHash = await this.hashOf(user)
    return this.#catalog.transaction(async (tx) => {
      if (by !== undefined) await requireStillAdmin(tx.db, by)
      return insertUser(tx, user, passwordHash)
    })
  }

  /** Of the password of a new user. */
  async hashOf({ name, password }: NewUser): Promise<string> {
    return password === undefined ? noPassword : this.#passwords.hash(password, name)
  }

  /** A new password, a disabled user: all its tokens are revoked. */
  async update(
    id: string,
    change: { [Field in Exclude<keyof NewUser, 'domainId'>]?: NewUser[Field] | undefined },
    by?: Caller,
  ): Promise<User> {
    const { password } = change
    const passwordHash = password === undefined ? undefined : await this.#passwords.hash(password, id)
    return this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      const { domain_name, ...row } = await requireUser(db, id)
      const name = change.name ?? row.name
      if (name !== row.name) await requireFreeName(db, 'user', row.domain_id, name)
      if (change.defaultProjectId) await requireProject(db, change.defaultProjectId)
      const next: UserRow = {
        ...row,
        name,
        name_key: nameKey(row.domain_id, name),
        password_hash: passwordHash ?? row.password_hash,
        description: change.description ?? row.description,
        email: change.email === undefined ? row.email : change.email,
        enabled: change.enabled === undefined ? row.enabled : flag(change.enabled),
        default_project_id: change.defaultProjectId === undefined ? row.default_project_id : change.defaultProjectId,
        extra: storedExtra(extraOf(row.extra), change.extra),
      }
      await db.updateTable('users').set(next).where('id', '=', row.id).execute()
      if (passwordHash !== undefined || change.enabled === false) {
        await deleteTokens(db, 'user_id', row.id)
      }
      return toUser({ ...next, domain_name })
    })
  }

  /** The user's tokens, grants, memberships and credentials go too. Throws UserNotFound. */
  async delete(id: string, by?: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (by !== undefined) await requireStillAdmin(db, by)
      await removeUsers(db, [(await requireUser(db, id)).id])
    })
  }
}

const byName: Sort[] = ['users.name', 'users.id'].map((key) => ({ expression: column(key), direction: 'asc' }))

const rows = (db: Reader) =>
  db
    .selectFrom('users')
    .innerJoin('projects as domains', 'domains.id', 'users.domain_id')
    .selectAll('users')
    .select('domains.name as domain_name')

/** Throws UserNotFound. */
export async function requireUser(db: Reader, id: string): Promise<WithDomain<UserRow>> {
  const row = await rows(db)
    .where('users.id', '=', id as UserId)
    .executeTakeFirst()
  if (row === undefined) throw new UserNotFound(id)
  return row
}

/** Throws NameTaken, InvalidArgument, DomainNotFound, ProjectNotFound. */
export async function insertUser({ db }: Transaction, user: NewUser, passwordHash: string): Promise<User> {
  const domainId = await requireDomain(db, user.domainId ?? defaultDomainId)
  await requireFreeName(db, 'user', domainId, user.name)
  if (user.defaultProjectId) await requireProject(db, user.defaultProjectId)
  const row: UserRow = {
    id: newUserId(),
    name: user.name,
    name_key: nameKey(domainId, user.name),
    domain_id: domainId,
    password_hash: passwordHash,
    enabled: flag(user.enabled ?? true),
    description: user.description ?? '',
    email: user.email ?? null,
    default_project_id: user.defaultProjectId ?? null,
    extra: storedExtra({}, user.extra),
    created_at: Date.now(),
  }
  await db.insertInto('users').values(row).execute()
  await db.insertInto('actors').values({ user_id: row.id, actor_id: row.id }).execute()
  return toUser(await requireUser(db, row.id))
}

/** Tokens and credentials go by reference; of credentials, their use of access rules first. */
export async function removeUsers(db: Reader, ids: readonly UserId[]): Promise<void> {
  for (const id of ids) {
    await deleteTokens(db, 'user_id', id)
    await db.deleteFrom('grants').where('actor_id', '=', id).execute()
    await db.deleteFrom('application_credentials').where('user_id', '=', id).execute()
    await db.deleteFrom('users').where('id', '=', id).execute()
  }
}

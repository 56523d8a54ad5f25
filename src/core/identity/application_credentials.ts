/**
 * Application credentials: a user's own passwords for programs, for one project and some of the user's roles in it. One that is not
 * unrestricted cannot make or delete others (nor EC2 credentials); one with access rules may only call what they name.
 */

import type { Catalog } from '../../catalog/catalog.js'
import { type AccessRuleRow, type ApplicationCredentialRow, flag } from '../../catalog/schema.js'
import type { Reader } from '../../catalog/types.js'
import { grouped } from '../../lib/grouped.js'
import {
  type AccessRuleId,
  type ApplicationCredentialId,
  newAccessRuleId,
  newApplicationCredentialId,
  newSecret,
  type RoleId,
  type UserId,
} from '../../lib/ids.js'
import {
  AccessRuleInUse,
  AccessRuleNotFound,
  ApplicationCredentialNotFound,
  InvalidArgument,
  NameTaken,
  RoleNotHeld,
} from '../model/errors.js'
import type { AccessRule, ApplicationCredential, Caller, ProjectCaller, TokenCredential } from '../model/records.js'
import { mayManageCredentials } from '../policy/access.js'
import { callerNow, requireStill } from '../policy/rights.js'
import { requireName } from './names.js'
import type { Passwords } from './passwords.js'
import { requireRole, toRole } from './roles.js'
import { deleteTokens } from './token_rows.js'
import { requireUser } from './users.js'

export interface NewApplicationCredential {
  name: string
  description?: string | undefined
  /** Default: one is made up. */
  secret?: string | undefined
  /** Default: all of the caller's. */
  roles?: readonly ({ id: string } | { name: string })[] | undefined
  expiresAtUs?: number | undefined
  unrestricted?: boolean | undefined
  accessRules?: readonly NewAccessRule[] | undefined
}

/** A rule of one's own that is there, or a new one. */
export type NewAccessRule = { id: string } | Omit<AccessRule, 'id'>

const credentialsMax = 500
const rulesMax = 100

export class ApplicationCredentials {
  readonly #catalog: Catalog
  readonly #passwords: Passwords

  constructor(catalog: Catalog, passwords: Passwords) {
    this.#catalog = catalog
    this.#passwords = passwords
  }

  /** By name. Throws UserNotFound. */
  async list(userId: string, filter: { name?: string | undefined } = {}): Promise<ApplicationCredential[]> {
    const { db } = this.#catalog
    const user = await requireUser(db, userId)
    let query = db.selectFrom('application_credentials').selectAll().where('user_id', '=', user.id).orderBy('name')
    if (filter.name !== undefined) query = query.where('name', '=', filter.name)
    return toCredentials(db, await query.execute())
  }

  /** Throws ApplicationCredentialNotFound. */
  async get(userId: string, id: string): Promise<ApplicationCredential> {
    return whole(this.#catalog.db, await requireCredential(this.#catalog.db, userId, id))
  }

  /**
   * For the caller, in the project of the caller's token. The secret is known to the result only. Throws RoleNotHeld, RoleNotFound,
   * NameTaken, InvalidArgument, BadPassword, AccessRuleNotFound.
   */
  async create(
    wanted: NewApplicationCredential,
    by: ProjectCaller,
  ): Promise<{ credential: ApplicationCredential; secret: string }> {
    requireName('application credential', wanted.name)
    const { accessRules } = wanted
    if (accessRules !== undefined && accessRules.length > rulesMax)
      throw new InvalidArgument(`expected at most ${rulesMax} access rules, got ${accessRules.length}`)
    if (wanted.expiresAtUs !== undefined && wanted.expiresAtUs <= Date.now() * 1000)
      throw new InvalidArgument('expected an expiry in the future')
    const secret = wanted.secret ?? newSecret()
    const secretHash = await this.#passwords.hash(secret, by.user.id)
    const credential = await this.#catalog.transaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      await requireRoom(db, by.user.id, wanted.name)
      const now = await callerNow(db, by.user.id, { projectId: by.project.id }, by.credentialId)
      const held = new Map((now?.roles ?? []).map((role) => [role.id, role]))
      const roleIds = new Set<RoleId>()
      for (const reference of wanted.roles ?? held.values()) {
        const role = await requireRole(db, reference)
        if (!held.has(role.id)) throw new RoleNotHeld(role.name)
        roleIds.add(role.id)
      }
      if (roleIds.size === 0) throw new InvalidArgument('expected at least one role')
      const row: ApplicationCredentialRow = {
        id: newApplicationCredentialId(),
        user_id: by.user.id,
        project_id: by.project.id,
        name: wanted.name,
        description: wanted.description ?? null,
        secret_hash: secretHash,
        unrestricted: flag(wanted.unrestricted ?? false),
        has_access_rules: flag(accessRules !== undefined),
        expires_at_us: wanted.expiresAtUs ?? null,
        created_at: Date.now(),
      }
      await db.insertInto('application_credentials').values(row).execute()
      await db
        .insertInto('application_credential_roles')
        .values([...roleIds].map((role_id) => ({ credential_id: row.id, role_id })))
        .execute()
      for (const ruleId of await ruleIds(db, by.user.id, accessRules ?? []))
        await db.insertInto('application_credential_rules').values({ credential_id: row.id, rule_id: ruleId }).execute()
      return whole(db, row)
    })
    return { credential, secret }
  }

  /** Its tokens end. Throws ApplicationCredentialNotFound. */
  async delete(userId: string, id: string, by: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      const row = await requireCredential(db, userId, id)
      await deleteTokens(db, 'application_credential_id', row.id)
      await db.deleteFrom('application_credentials').where('id', '=', row.id).execute()
    })
  }

  // ---- access rules ----

  /** Throws UserNotFound. */
  async rules(userId: string): Promise<AccessRule[]> {
    const { db } = this.#catalog
    const user = await requireUser(db, userId)
    const found = await db.selectFrom('access_rules').selectAll().where('user_id', '=', user.id).orderBy('id').execute()
    return found.map(toRule)
  }

  /** Throws AccessRuleNotFound. */
  async rule(userId: string, id: string): Promise<AccessRule> {
    return toRule(await requireRule(this.#catalog.db, userId, id))
  }

  /** Throws AccessRuleNotFound, AccessRuleInUse. */
  async deleteRule(userId: string, id: string, by: Caller): Promise<void> {
    await this.#catalog.reservedTransaction(async ({ db }) => {
      mayManageCredentials(by)
      await requireStill(db, by)
      const row = await requireRule(db, userId, id)
      const use = await db
        .selectFrom('application_credential_rules')
        .select('credential_id')
        .where('rule_id', '=', row.id)
        .executeTakeFirst()
      if (use !== undefined) throw new AccessRuleInUse(row.id)
      await db.deleteFrom('access_rules').where('id', '=', row.id).execute()
    })
  }
}

async function requireRoom(db: Reader, userId: UserId, name: string): Promise<void> {
  const own = await db.selectFrom('application_credentials').select('name').where('user_id', '=', userId).execute()
  if (own.some((each) => each.name === name)) throw new NameTaken('application credential', name)
  if (own.length >= credentialsMax)
    throw new InvalidArgument(`the user has the most application credentials that a user may have, ${credentialsMax}`)
}

/** Of the user's rules; new ones are stored. */
async function ruleIds(db: Reader, userId: UserId, rules: readonly NewAccessRule[]): Promise<Set<AccessRuleId>> {
  const ids = new Set<AccessRuleId>()
  for (const rule of rules) {
    if ('id' in rule) {
      ids.add((await requireRule(db, userId, rule.id)).id)
      continue
    }
    const { service, method, path } = rule
    const known = await db
      .selectFrom('access_rules')
      .select('id')
      .where('user_id', '=', userId)
      .where('service', '=', service)
      .where('method', '=', method)
      .where('path', '=', path)
      .executeTakeFirst()
    const id = known?.id ?? newAccessRuleId()
    if (known === undefined)
      await db.insertInto('access_rules').values({ id, user_id: userId, service, method, path }).execute()
    ids.add(id)
  }
  return ids
}

async function requireCredential(db: Reader, userId: string, id: string): Promise<ApplicationCredentialRow> {
  const row = await db
    .selectFrom('application_credentials')
    .selectAll()
    .where('id', '=', id as ApplicationCredentialId)
    .where('user_id', '=', userId as UserId)
    .executeTakeFirst()
  if (row === undefined) throw new ApplicationCredentialNotFound(id)
  return row
}

async function requireRule(db: Reader, userId: string, id: string): Promise<AccessRuleRow> {
  const row = await db
    .selectFrom('access_rules')
    .selectAll()
    .where('id', '=', id as AccessRuleId)
    .where('user_id', '=', userId as UserId)
    .executeTakeFirst()
  if (row === undefined) throw new AccessRuleNotFound(id)
  return row
}

/** What a token shows of its credential; null if that is gone. */
export async function credentialOfToken(db: Reader, id: ApplicationCredentialId): Promise<TokenCredential | null> {
  const row = await db
    .selectFrom('application_credentials')
    .select(['name', 'unrestricted', 'has_access_rules'])
    .where('id', '=', id)
    .executeTakeFirst()
  if (row === undefined) return null
  const accessRules = row.has_access_rules === 1 ? (await rulesOf(db, [id])).map(({ rule }) => rule) : null
  return { id, name: row.name, unrestricted: row.unrestricted === 1, accessRules }
}

async function rulesOf(
  db: Reader,
  ids: readonly ApplicationCredentialId[],
): Promise<{ credentialId: ApplicationCredentialId; rule: AccessRule }[]> {
  const found = await db
    .selectFrom('application_credential_rules')
    .innerJoin('access_rules', 'access_rules.id', 'application_credential_rules.rule_id')
    .selectAll()
    .where('application_credential_rules.credential_id', 'in', ids)
    .orderBy('access_rules.id')
    .execute()
  return found.map((row) => ({ credentialId: row.credential_id, rule: toRule(row) }))
}

async function whole(db: Reader, row: ApplicationCredentialRow): Promise<ApplicationCredential> {
  const [credential] = await toCredentials(db, [row])
  return credential as ApplicationCredential
}

async function toCredentials(db: Reader, found: readonly ApplicationCredentialRow[]): Promise<ApplicationCredential[]> {
  if (found.length === 0) return []
  const ids = found.map(({ id }) => id)
  const rules = grouped(await rulesOf(db, ids), ({ credentialId }) => credentialId)
  const roleRows = await db
    .selectFrom('application_credential_roles')
    .innerJoin('roles', 'roles.id', 'application_credential_roles.role_id')
    .selectAll('roles')
    .select('application_credential_roles.credential_id')
    .where('application_credential_roles.credential_id', 'in', ids)
    .orderBy('roles.name')
    .execute()
  const roles = grouped(roleRows, ({ credential_id }) => credential_id)
  return found.map((row) => ({
    id: row.id,
    userId: row.user_id,
    projectId: row.project_id,
    name: row.name,
    description: row.description,
    unrestricted: row.unrestricted === 1,
    expiresAtUs: row.expires_at_us,
    roles: (roles.get(row.id) ?? []).map(toRole),
    accessRules: row.has_access_rules === 1 ? (rules.get(row.id) ?? []).map(({ rule }) => rule) : null,
  }))
}

const toRule = ({ id, service, method, path }: AccessRuleRow): AccessRule => ({ id, service, method, path })

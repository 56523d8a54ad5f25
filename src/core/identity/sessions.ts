/**
 * Logins and tokens.
 *
 * A token is 256 random bits; the catalog knows its SHA-256 only (no slow hash is needed: there is nothing to guess, and
 * looking up by the hash compares nothing secret byte by byte). What it may do is judged at each use by the catalog as it is
 * then: a role taken away, a disabled user or project works at once.
 *
 * Invariants
 *   1. The transaction that inserts a token decides: the password that was verified is still the user's, the token that the new
 *      one was obtained with is still there, and the user may still log in to the project. Whatever was read before only
 *      refuses early.
 *   2. A token is deleted together with all tokens that were obtained with it, directly or through others (`parent_hash`).
 */

import { createHash, randomBytes } from 'node:crypto'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import { type ApplicationCredentialRow, flag, type TokenRow, type UserRow } from '../../catalog/schema.js'
import { type ApplicationCredentialId, newSecret, type ProjectId, type UserId } from '../../lib/ids.js'
import { LoginFailed, TokenInvalid } from '../model/errors.js'
import type { Asker } from '../../lib/fair_turns.js'
import { Memo } from '../../catalog/memo.js'
import type { Passwords } from './passwords.js'
import type { Caller, Session, TokenCredential } from '../model/records.js'
import { callerNow, type Scope } from '../policy/rights.js'
import { credentialOfToken } from './application_credentials.js'
import { defaultDomainId, nameKey } from './names.js'
import { deleteTokens } from './token_rows.js'

export type DomainName = { id: string } | { name: string }

/** By id, or by name in a domain (without one: in the default domain). */
export type Reference = { id: string } | { name: string; domain?: DomainName | undefined }
export type UserReference = Reference

/** `default`: the user's default project if set and accessible, else unscoped. */
export type LoginScope = 'default' | 'unscoped' | 'system' | { project: Reference } | { domain: DomainName }

export interface PasswordLogin {
  user: UserReference
  password: string
  scope: LoginScope
  /** The client's: addresses take turns when passwords are checked. undefined: the server itself asks. */
  address?: string
}

/** What the client claims to be, known or not. */
export function claimOf(user: UserReference): string {
  if ('id' in user) return `id:${user.id}`
  const { domain } = user
  const of = domain === undefined ? '' : 'id' in domain ? `in:${domain.id}:` : `in name:${domain.name}:`
  return `${of}name:${user.name}`
}

export interface CredentialLogin {
  /** By ID, or by name and user. */
  credential: { id: string } | { name: string; user: UserReference }
  secret: string
  /** Any but the default is refused unless it is the credential's project. */
  scope: LoginScope
  /** As in PasswordLogin. */
  address?: string
}

/** What the client claims to be, known or not. */
export const claimOfCredential = ({ credential }: Pick<CredentialLogin, 'credential'>): string =>
  'id' in credential ? `credential:${credential.id}` : claimOf(credential.user)

const askerOf = ({ user, address }: Pick<PasswordLogin, 'user' | 'address'>): Asker => ({
  address: address ?? '',
  name: claimOf(user),
})

export interface Login {
  token: string
  session: Session
}

const lifetimeMs = 24 * 3600_000
const tokenLengthMax = 512
/** Sessions that are remembered between two changes of the catalog. */
const rememberedMax = 4096

const tokenBy = new Prepared<TokenRow, [hash: string]>((db) =>
  db.selectFrom('tokens').selectAll().where('hash', '=', '').compile(),
)
export class Sessions {
  readonly #catalog: Catalog
  readonly #passwords: Passwords
  /** By the token's hash. Whether one has expired is not remembered. */
  readonly #sessions: Memo<string, Session>

  constructor(catalog: Catalog, passwords: Passwords) {
    this.#catalog = catalog
    this.#passwords = passwords
    this.#sessions = new Memo(catalog, rememberedMax)
  }

  /** Throws LoginFailed (one error for every reason), TooManyLogins. */
  async loginByPassword(request: PasswordLogin): Promise<Login> {
    const { db } = this.#catalog
    const verified = await this.#verified(request)
    // A login that is refused takes no transaction.
    await resolveScope(db, verified, request.scope)
    return this.#issue(async (tx) => {
      const row = await unchanged(tx, verified)
      const scope = await resolveScope(tx, row, request.scope)
      return { userId: row.id, scope, methods: ['password'] }
    })
  }

  /** A new token from a valid one, for the same or another scope; it ends when the first one does. */
  async loginByToken(request: { token: string; scope: LoginScope }): Promise<Login> {
    const session = await this.authenticate(request.token)
    await resolveScope(this.#catalog.db, await userOf(this.#catalog.db, session.caller), request.scope)
    return this.#issue(async (tx) => {
      const parent = await tokenBy.first(tx, hashOf(request.token))
      if (parent === undefined || parent.expires_at <= Date.now()) throw new TokenInvalid()
      const caller = await callerNow(tx, parent.user_id, scopeOf(parent), parent.application_credential_id)
      if (caller === undefined) throw new TokenInvalid()
      const credentialId = parent.application_credential_id
      // What a credential was not made for, its tokens do not reach by a detour.
      const scope =
        credentialId === null
          ? await resolveScope(tx, await userOf(tx, caller), request.scope)
          : await credentialScope(tx, request.scope, parent.project_id)
      const methods = [...new Set([...session.methods, 'token'])]
      return { userId: parent.user_id, scope, credentialId, methods, parent }
    })
  }

  /** Throws LoginFailed (one error for every reason), TooManyLogins. */
  async loginByCredential(request: CredentialLogin): Promise<Login> {
    const { db } = this.#catalog
    const { credential, secret, scope: wanted, address = '' } = request
    const found = await credentialBy(db, credential)
    const right = await this.#passwords.verify(secret, found?.secret_hash, {
      address,
      name: claimOfCredential(request),
    })
    if (found === undefined || !right) throw new LoginFailed()
    return this.#issue(async (tx) => {
      const row = await credentialBy(tx, { id: found.id })
      if (row === undefined || row.secret_hash !== found.secret_hash) throw new LoginFailed()
      const expiresAt = row.expires_at_us === null ? undefined : Math.floor(row.expires_at_us / 1000)
      if (expiresAt !== undefined && expiresAt <= Date.now()) throw new LoginFailed()
      const scope = await credentialScope(tx, wanted, row.project_id)
      return { userId: row.user_id, scope, credentialId: row.id, methods: ['application_credential'], expiresAt }
    })
  }

  /**
   * A new password for the user who knows the old one; ends all tokens of the user. The old password must still be the user's
   * when the new one is stored. Throws LoginFailed, BadPassword, TooManyLogins.
   */
  async changePassword(change: {
    userId: string
    original: string
    password: string
    /** As in PasswordLogin. */
    address?: string
  }): Promise<void> {
    const { userId, original, password, address } = change
    const verified = await this.#verified({ user: { id: userId }, password: original, ...(address && { address }) })
    const passwordHash = await this.#passwords.hash(password, userId)
    await this.#catalog.transaction(async ({ db }) => {
      const { id } = await unchanged(db, verified)
      await db.updateTable('users').set({ password_hash: passwordHash }).where('id', '=', id).execute()
      await deleteTokens(db, 'user_id', id)
    })
  }

  /** Whether the caller's user may log in to the system. */
  async mayUseSystem({ user }: Caller): Promise<boolean> {
    return (await callerNow(this.#catalog.db, user.id, { projectId: null, system: true })) !== undefined
  }

  /** Throws TokenInvalid. Cheap enough for every request. */
  async authenticate(token: string): Promise<Session> {
    if (token.length > tokenLengthMax) throw new TokenInvalid()
    const session = await this.#sessions.get(hashOf(token), (hash) => this.#sessionBy(hash))
    if (session === undefined || session.expiresAt <= Date.now()) throw new TokenInvalid()
    return session
  }

  /** Ends the token and all that were obtained with it. Idempotent. */
  async revoke(token: string): Promise<void> {
    await this.#catalog.reservedTransaction(({ db }) => deleteTokens(db, 'hash', hashOf(token)))
  }

  /** Forgets tokens that have expired. Answers how many. */
  async purge(): Promise<number> {
    const { numDeletedRows } = await this.#catalog.reservedTransaction(({ db }) =>
      db.deleteFrom('tokens').where('expires_at', '<=', Date.now()).executeTakeFirstOrThrow(),
    )
    return Number(numDeletedRows)
  }

  async #sessionBy(hash: string): Promise<Session | undefined> {
    const { db } = this.#catalog
    const row = await tokenBy.first(db, hash)
    if (row === undefined) return undefined
    const { application_credential_id: credentialId } = row
    const caller = await callerNow(db, row.user_id, scopeOf(row), credentialId)
    if (caller === undefined) return undefined
    const credential = credentialId === null ? null : await credentialOfToken(db, credentialId)
    // Many requests will have the same one.
    return Object.freeze(toSession(row, Object.freeze(caller), credential))
  }

  /** The user, if the password is right and the user enabled. Takes as long for a user who does not exist. */
  async #verified(claim: Omit<PasswordLogin, 'scope'>): Promise<UserRow> {
    const { user, password } = claim
    const row = await userBy(this.#catalog.db, user)
    const right = await this.#passwords.verify(password, row?.password_hash, askerOf(claim))
    if (row === undefined || !right || row.enabled !== 1) throw new LoginFailed()
    return row
  }

  /** `decide` runs in the transaction that inserts the token, and says whose it is. */
  async #issue(decide: (db: Reader) => Promise<NewToken>): Promise<Login> {
    const token = newSecret()
    const auditId = randomBytes(16).toString('base64url')
    const session = await this.#catalog.reservedTransaction(async ({ db }) => {
      const { userId, scope, credentialId = null, methods, parent, expiresAt } = await decide(db)
      const issuedAt = Date.now()
      const row: TokenRow = {
        hash: hashOf(token),
        user_id: userId,
        project_id: scope.projectId,
        system: flag(scope.system ?? false),
        application_credential_id: credentialId,
        methods: methods.join(','),
        audit_id: auditId,
        parent_audit_id: parent === undefined ? null : (parent.parent_audit_id ?? parent.audit_id),
        parent_hash: parent?.hash ?? null,
        issued_at: issuedAt,
        expires_at: parent?.expires_at ?? Math.min(issuedAt + lifetimeMs, expiresAt ?? Number.POSITIVE_INFINITY),
      }
      const caller = await callerNow(db, userId, scope, credentialId)
      if (caller === undefined) throw new LoginFailed()
      await db.insertInto('tokens').values(row).execute()
      const credential = credentialId === null ? null : await credentialOfToken(db, credentialId)
      return toSession(row, caller, credential)
    })
    return { token, session }
  }
}

interface NewToken {
  userId: UserId
  scope: Scope
  credentialId?: ApplicationCredentialId | null
  methods: string[]
  /** The token that this one is obtained with. */
  parent?: TokenRow
  /** It must not outlive this. */
  expiresAt?: number | undefined
}

const scopeOf = (row: TokenRow): Scope => ({ projectId: row.project_id, system: row.system === 1 })

async function userBy(db: Reader, reference: UserReference): Promise<UserRow | undefined> {
  const query = db.selectFrom('users').selectAll()
  if ('id' in reference) return query.where('id', '=', reference.id as UserId).executeTakeFirst()
  const domainId = await domainBy(db, reference.domain)
  if (domainId === undefined) return undefined
  return query.where('name_key', '=', nameKey(domainId, reference.name)).executeTakeFirst()
}

async function domainBy(db: Reader, domain: DomainName | undefined): Promise<ProjectId | undefined> {
  if (domain === undefined) return defaultDomainId
  const query = db.selectFrom('projects').select('id').where('is_domain', '=', 1)
  const found = await ('id' in domain
    ? query.where('id', '=', domain.id as ProjectId)
    : query.where('name_key', '=', nameKey(null, domain.name))
  ).executeTakeFirst()
  return found?.id
}

async function projectBy(db: Reader, reference: Reference): Promise<ProjectId | undefined> {
  const query = db.selectFrom('projects').select('id')
  if ('id' in reference) return (await query.where('id', '=', reference.id as ProjectId).executeTakeFirst())?.id
  const domainId = await domainBy(db, reference.domain)
  if (domainId === undefined) return undefined
  return (await query.where('name_key', '=', nameKey(domainId, reference.name)).executeTakeFirst())?.id
}

async function credentialBy(
  db: Reader,
  reference: CredentialLogin['credential'],
): Promise<ApplicationCredentialRow | undefined> {
  const query = db.selectFrom('application_credentials').selectAll()
  if ('id' in reference) return query.where('id', '=', reference.id as ApplicationCredentialId).executeTakeFirst()
  const user = await userBy(db, reference.user)
  if (user === undefined) return undefined
  return query.where('user_id', '=', user.id).where('name', '=', reference.name).executeTakeFirst()
}

/** Throws LoginFailed when another scope is asked for than the credential's project. */
async function credentialScope(db: Reader, wanted: LoginScope, projectId: ProjectId | null): Promise<Scope> {
  const isOwn =
    wanted === 'default' ||
    (typeof wanted === 'object' && 'project' in wanted && (await projectBy(db, wanted.project)) === projectId)
  if (!isOwn) throw new LoginFailed()
  return { projectId }
}

/** Throws TokenInvalid when the user is gone. */
async function userOf(db: Reader, { user }: Caller): Promise<UserRow> {
  const row = await userBy(db, { id: user.id })
  if (row === undefined) throw new TokenInvalid()
  return row
}

/** The user as the transaction finds it. Throws LoginFailed if another password was set since `verified` was read, or the user disabled. */
async function unchanged(db: Reader, verified: UserRow): Promise<UserRow> {
  const row = await userBy(db, { id: verified.id })
  if (row === undefined || row.enabled !== 1 || row.password_hash !== verified.password_hash) throw new LoginFailed()
  return row
}

/** Throws LoginFailed when the user has no role there. */
async function resolveScope(db: Reader, user: UserRow, wanted: LoginScope): Promise<Scope> {
  if (wanted === 'unscoped') return { projectId: null }
  if (wanted === 'default') {
    const { default_project_id: id } = user
    const usable = id !== null && (await callerNow(db, user.id, { projectId: id })) !== undefined
    return { projectId: usable ? id : null }
  }
  const scope =
    wanted === 'system'
      ? { projectId: null, system: true }
      : { projectId: 'project' in wanted ? await projectBy(db, wanted.project) : await domainBy(db, wanted.domain) }
  const { projectId } = scope
  if (projectId === undefined) throw new LoginFailed()
  const caller = await callerNow(db, user.id, { ...scope, projectId })
  if (caller === undefined) throw new LoginFailed()
  // A domain is no project to whoever asks for one.
  if (typeof wanted === 'object' && 'project' in wanted && caller.project === undefined) throw new LoginFailed()
  return { ...scope, projectId }
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url')

function toSession(row: TokenRow, caller: Caller, credential: TokenCredential | null): Session {
  return {
    caller,
    credential,
    methods: row.methods.split(','),
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    auditIds: row.parent_audit_id === null ? [row.audit_id] : [row.audit_id, row.parent_audit_id],
  }
}

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
import type { TokenRow, UserRow } from '../../catalog/schema.js'
import { newSecret, type ProjectId, type UserId } from '../../lib/ids.js'
import { LoginFailed, TokenInvalid } from '../model/errors.js'
import type { Asker } from '../../lib/fair_turns.js'
import { Memo } from '../../catalog/memo.js'
import type { Passwords } from './passwords.js'
import type { Caller, Session } from '../model/records.js'
import { callerNow } from '../policy/rights.js'
import { deleteTokens } from './token_rows.js'

/** By id, or by name (within the one domain `Default`/`default`; name another domain and nothing is found). */
export type UserReference = { id: string } | { name: string }
export type ProjectReference = { id: string } | { name: string }

/** `default`: the user's default project if set and accessible, else unscoped. */
export type LoginScope = 'default' | 'unscoped' | { project: ProjectReference }

export interface PasswordLogin {
  user: UserReference
  password: string
  scope: LoginScope
  /** The client's: addresses take turns when passwords are checked. undefined: the server itself asks. */
  address?: string
}

/** What the client claims to be, known or not. */
export const claimOf = (user: UserReference): string => ('id' in user ? `id:${user.id}` : `name:${user.name}`)

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
      const projectId = await resolveScope(tx, row, request.scope)
      return { userId: row.id, projectId, methods: ['password'], parent: undefined }
    })
  }

  /** A new token from a valid one, for the same or another scope; it ends when the first one does. */
  async loginByToken(request: { token: string; scope: LoginScope }): Promise<Login> {
    const session = await this.authenticate(request.token)
    await resolveScope(this.#catalog.db, await userOf(this.#catalog.db, session.caller), request.scope)
    return this.#issue(async (tx) => {
      const parent = await tokenBy.first(tx, hashOf(request.token))
      if (parent === undefined || parent.expires_at <= Date.now()) throw new TokenInvalid()
      const caller = await callerNow(tx, parent.user_id, parent.project_id)
      if (caller === undefined) throw new TokenInvalid()
      const projectId = await resolveScope(tx, await userOf(tx, caller), request.scope)
      const methods = [...new Set([...session.methods, 'token'])]
      return { userId: parent.user_id, projectId, methods, parent }
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
    const row = await tokenBy.first(this.#catalog.db, hash)
    const caller = row && (await callerNow(this.#catalog.db, row.user_id, row.project_id))
    // Many requests will have the same one.
    return caller && Object.freeze(toSession(row, Object.freeze(caller)))
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
      const { userId, projectId, methods, parent } = await decide(db)
      const issuedAt = Date.now()
      const row: TokenRow = {
        hash: hashOf(token),
        user_id: userId,
        project_id: projectId,
        methods: methods.join(','),
        audit_id: auditId,
        parent_audit_id: parent === undefined ? null : (parent.parent_audit_id ?? parent.audit_id),
        parent_hash: parent?.hash ?? null,
        issued_at: issuedAt,
        expires_at: parent?.expires_at ?? issuedAt + lifetimeMs,
      }
      const caller = await callerNow(db, userId, projectId)
      if (caller === undefined) throw new LoginFailed()
      await db.insertInto('tokens').values(row).execute()
      return toSession(row, caller)
    })
    return { token, session }
  }
}

interface NewToken {
  userId: UserId
  projectId: ProjectId | null
  methods: string[]
  /** The token that this one is obtained with. */
  parent: TokenRow | undefined
}

async function userBy(db: Reader, reference: UserReference): Promise<UserRow | undefined> {
  const query = db.selectFrom('users').selectAll()
  return 'id' in reference
    ? query.where('id', '=', reference.id as UserId).executeTakeFirst()
    : query.where('name', '=', reference.name).executeTakeFirst()
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

/** null: unscoped. Throws LoginFailed when the user has no role there. */
async function resolveScope(db: Reader, user: UserRow, scope: LoginScope): Promise<ProjectId | null> {
  if (scope === 'unscoped') return null
  if (scope === 'default') {
    const { default_project_id: id } = user
    return id !== null && (await callerNow(db, user.id, id)) !== undefined ? id : null
  }
  const query = db.selectFrom('projects').select('id')
  const { project } = scope
  const found = await ('id' in project
    ? query.where('id', '=', project.id as ProjectId)
    : query.where('name', '=', project.name)
  ).executeTakeFirst()
  if (found === undefined || (await callerNow(db, user.id, found.id)) === undefined) throw new LoginFailed()
  return found.id
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url')

function toSession(row: TokenRow, caller: Caller): Session {
  return {
    caller,
    methods: row.methods.split(','),
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    auditIds: row.parent_audit_id === null ? [row.audit_id] : [row.audit_id, row.parent_audit_id],
  }
}

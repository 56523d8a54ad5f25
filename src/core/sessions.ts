/**
 * Logins and tokens.
 *
 * A token is 256 random bits; the catalog knows its SHA-256 only (no slow hash is needed: there is nothing to guess, and
 * looking up by the hash compares nothing secret byte by byte). What it may do is judged at each use by the catalog as it is
 * then: a role taken away, a disabled user or project works at once.
 */

import { createHash, randomBytes } from 'node:crypto'
import type { Catalog } from '../catalog/catalog.js'
import { Prepared } from '../catalog/prepared.js'
import type { ProjectRow, TokenRow, UserRow } from '../catalog/schema.js'
import { newSecret, type ProjectId, type UserId } from '../lib/ids.js'
import { LoginFailed, TokenInvalid } from './errors.js'
import { toProject, toUser } from './identity.js'
import { Memo } from './memo.js'
import type { Passwords } from './passwords.js'
import type { Caller, Project, Role, Session } from './records.js'

/** By id, or by name (within the one domain `Default`/`default`; name another domain and nothing is found). */
export type UserReference = { id: string } | { name: string }
export type ProjectReference = { id: string } | { name: string }

/** `default`: the user's default project if set and accessible, else unscoped. */
export type LoginScope = 'default' | 'unscoped' | { project: ProjectReference }

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
  async loginByPassword(request: { user: UserReference; password: string; scope: LoginScope }): Promise<Login> {
    const row = await this.#userBy(request.user)
    const right = await this.#passwords.verify(request.password, row?.password_hash)
    if (row === undefined || !right || row.enabled !== 1) throw new LoginFailed()
    const projectId = await this.#resolveScope(row, request.scope)
    return this.#issue({ userId: row.id, projectId, methods: ['password'], parentAuditId: null })
  }

  /** A new token from a valid one, for the same or another scope; it expires when the first one does. */
  async loginByToken(request: { token: string; scope: LoginScope }): Promise<Login> {
    const session = await this.authenticate(request.token)
    const { user } = session.caller
    const row = await this.#userBy({ id: user.id })
    if (row === undefined) throw new TokenInvalid()
    const projectId = await this.#resolveScope(row, request.scope)
    return this.#issue({
      userId: row.id,
      projectId,
      methods: [...new Set([...session.methods, 'token'])],
      parentAuditId: session.auditIds.at(-1) ?? null,
      expiresAt: session.expiresAt,
    })
  }

  /** Throws TokenInvalid. Cheap enough for every request. */
  async authenticate(token: string): Promise<Session> {
    if (token.length > tokenLengthMax) throw new TokenInvalid()
    const session = this.#sessions.get(hashOf(token), (hash) => this.#sessionBy(hash))
    if (session === undefined || session.expiresAt <= Date.now()) throw new TokenInvalid()
    return session
  }

  /** Idempotent. */
  async revoke(token: string): Promise<void> {
    await this.#catalog.transaction(({ db }) => db.deleteFrom('tokens').where('hash', '=', hashOf(token)).execute())
  }

  /** The projects that this caller may scope a token to. */
  async projectsOf(caller: Caller): Promise<Project[]> {
    const { db } = this.#catalog
    const rows = await db
      .selectFrom('projects')
      .selectAll()
      .where('enabled', '=', 1)
      .where('id', 'in', (e) => e.selectFrom('assignments').select('project_id').where('user_id', '=', caller.user.id))
      .orderBy('name')
      .execute()
    return rows.map(toProject)
  }

  /** Forgets tokens that have expired. Answers how many. */
  async purge(): Promise<number> {
    const { numDeletedRows } = await this.#catalog.transaction(({ db }) =>
      db.deleteFrom('tokens').where('expires_at', '<=', Date.now()).executeTakeFirstOrThrow(),
    )
    return Number(numDeletedRows)
  }

  #sessionBy(hash: string): Session | undefined {
    const row = tokenBy.first(this.#catalog.db, hash)
    const caller = row && this.#callerOf(row.user_id, row.project_id)
    // Many requests will have the same one.
    return caller && Object.freeze(toSession(row, Object.freeze(caller)))
  }

  async #userBy(reference: UserReference): Promise<UserRow | undefined> {
    const query = this.#catalog.db.selectFrom('users').selectAll()
    return 'id' in reference
      ? query.where('id', '=', reference.id as UserId).executeTakeFirst()
      : query.where('name', '=', reference.name).executeTakeFirst()
  }

  /** null: unscoped. Throws LoginFailed when the user has no role there. */
  async #resolveScope(user: UserRow, scope: LoginScope): Promise<ProjectId | null> {
    if (scope === 'unscoped') return null
    if (scope === 'default') {
      const { default_project_id: id } = user
      return id !== null && this.#callerOf(user.id, id) !== undefined ? id : null
    }
    const query = this.#catalog.db.selectFrom('projects').select('id')
    const { project } = scope
    const found = await ('id' in project
      ? query.where('id', '=', project.id as ProjectId)
      : query.where('name', '=', project.name)
    ).executeTakeFirst()
    if (found === undefined || this.#callerOf(user.id, found.id) === undefined) throw new LoginFailed()
    return found.id
  }

  /** undefined: gone, disabled, or without a role in the project. */
  #callerOf(userId: UserId, projectId: ProjectId | null): Caller | undefined {
    const { db } = this.#catalog
    const user = userBy.first(db, userId)
    if (user === undefined || user.enabled !== 1) return undefined
    if (projectId === null)
      return { user: toUser(user), project: undefined, roles: [], isAdmin: false, canWrite: false }
    const project = projectBy.first(db, projectId)
    if (project === undefined || project.enabled !== 1) return undefined
    const roles = rolesOf.all(db, userId, projectId)
    if (roles.length === 0) return undefined
    const has = (name: string) => roles.some((role) => role.name === name)
    const isAdmin = has('admin')
    return { user: toUser(user), project: toProject(project), roles, isAdmin, canWrite: isAdmin || has('member') }
  }

  async #issue(login: {
    userId: UserId
    projectId: ProjectId | null
    methods: string[]
    parentAuditId: string | null
    expiresAt?: number
  }): Promise<Login> {
    const token = newSecret()
    const issuedAt = Date.now()
    const row: TokenRow = {
      hash: hashOf(token),
      user_id: login.userId,
      project_id: login.projectId,
      methods: login.methods.join(','),
      audit_id: randomBytes(16).toString('base64url'),
      parent_audit_id: login.parentAuditId,
      issued_at: issuedAt,
      expires_at: login.expiresAt ?? issuedAt + lifetimeMs,
    }
    await this.#catalog.transaction(({ db }) => db.insertInto('tokens').values(row).execute())
    const caller = this.#callerOf(login.userId, login.projectId)
    if (caller === undefined) throw new LoginFailed()
    return { token, session: toSession(row, caller) }
  }
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

/** Logins and tokens. */
import type { Caller, Project, Session } from './records.js'

/** By id, or by name (within the one domain `Default`/`default`; name another domain and nothing is found). */
export type UserReference = { id: string } | { name: string }
export type ProjectReference = { id: string } | { name: string }

/** `default`: the user's default project if set and accessible, else unscoped. */
export type LoginScope = 'default' | 'unscoped' | { project: ProjectReference }

export interface Login {
  /** 256 random bits; only its hash is stored. */
  token: string
  session: Session
}

export declare class Sessions {
  /** Throws LoginFailed (one error for every reason), TooManyLogins. */
  loginByPassword(request: { user: UserReference; password: string; scope: LoginScope }): Promise<Login>
  /** A new token from a valid one, for the same or another scope; expires when the first one does. Throws TokenInvalid, LoginFailed. */
  loginByToken(request: { token: string; scope: LoginScope }): Promise<Login>
  /** Throws TokenInvalid. Cheap enough for every request. */
  authenticate(token: string): Promise<Session>
  /** Idempotent. */
  revoke(token: string): Promise<void>
  /** The projects that this caller may scope a token to. */
  projectsOf(caller: Caller): Promise<Project[]>
}

/** Logging in by password, for every door that offers it: one count of failures for all of them. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../core/core.js'
import { LoginFailed } from '../core/errors.js'
import type { Login, LoginScope, UserReference } from '../core/sessions.js'
import { LoginThrottle } from './login_throttle.js'

export interface PasswordLogin {
  user: UserReference
  password: string
  scope: LoginScope
}

export class Logins {
  readonly #throttle = new LoginThrottle()

  constructor(private readonly core: Core) {}

  /** Throws LoginFailed, TooManyAttempts, TooManyLogins. */
  byPassword(request: FastifyRequest, wanted: PasswordLogin): Promise<Login> {
    const who = 'id' in wanted.user ? `id:${wanted.user.id}` : `name:${wanted.user.name}`
    return this.#throttle.attempt(
      { who, address: request.ip },
      () => this.core.sessions.loginByPassword(wanted),
      (error) => error instanceof LoginFailed,
    )
  }

  /** Wrong original passwords count as failed logins. Throws LoginFailed, BadPassword, TooManyAttempts, TooManyLogins. */
  changePassword(
    request: FastifyRequest,
    change: { userId: string; original: string; password: string },
  ): Promise<void> {
    return this.#throttle.attempt(
      { who: `id:${change.userId}`, address: request.ip },
      () => this.core.sessions.changePassword(change),
      (error) => error instanceof LoginFailed,
    )
  }
}

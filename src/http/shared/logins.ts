/** Logging in by password, for every door that offers it: one count of failures for all of them. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../../core/core.js'
import {
  claimOf,
  claimOfCredential,
  type CredentialLogin,
  type Login,
  type PasswordLogin,
} from '../../core/identity/sessions.js'
import { LoginFailed } from '../../core/model/errors.js'
import { clientOf } from '../../lib/trusted_proxies.js'
import { LoginThrottle } from './login_throttle.js'

export class Logins {
  readonly #throttle = new LoginThrottle()

  constructor(private readonly core: Core) {}

  /** Throws LoginFailed, TooManyAttempts, TooManyLogins. */
  byPassword(request: FastifyRequest, wanted: Omit<PasswordLogin, 'address'>): Promise<Login> {
    const address = clientOf(request.ip)
    return this.#throttle.attempt(
      { who: claimOf(wanted.user), address },
      () => this.core.sessions.loginByPassword({ ...wanted, address }),
      (error) => error instanceof LoginFailed,
    )
  }

  /** Throws LoginFailed, TooManyAttempts, TooManyLogins. */
  byCredential(request: FastifyRequest, wanted: Omit<CredentialLogin, 'address'>): Promise<Login> {
    const address = clientOf(request.ip)
    return this.#throttle.attempt(
      { who: claimOfCredential(wanted), address },
      () => this.core.sessions.loginByCredential({ ...wanted, address }),
      (error) => error instanceof LoginFailed,
    )
  }

  /** Wrong original passwords count as failed logins. Throws LoginFailed, BadPassword, TooManyAttempts, TooManyLogins. */
  changePassword(
    request: FastifyRequest,
    change: { userId: string; original: string; password: string },
  ): Promise<void> {
    const address = clientOf(request.ip)
    return this.#throttle.attempt(
      { who: claimOf({ id: change.userId }), address },
      () => this.core.sessions.changePassword({ ...change, address }),
      (error) => error instanceof LoginFailed,
    )
  }
}

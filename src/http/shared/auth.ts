/**
 * Who calls: the token of a request, judged once, before its handler.
 *
 * `request.caller` is null without a valid token. Whether that is a refusal is for each API to say, in its own words:
 * `requireCaller` and its kin throw `Unauthorized` and `Forbidden`, which the API's error handler formats.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Core } from '../../core/core.js'
import { TokenInvalid } from '../../core/model/errors.js'
import type { Caller, ProjectCaller, Session } from '../../core/model/records.js'
import { mayRead, mustKeep } from '../../core/policy/access.js'
import { type Call, mayCall } from './access_rules.js'
import { Forbidden, Unauthorized } from './errors.js'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
  interface FastifyInstance {
    authority: Authority
  }
}

/** For requests that take long: what a token granted at their beginning may have ended meanwhile. */
export class Authority {
  readonly #core: Core

  constructor(core: Core) {
    this.#core = core
  }

  /** After a wait for the client. Throws Unauthorized or NotAllowed if the token, or a right that the caller had, has ended. */
  async judgeAgain(request: FastifyRequest): Promise<void> {
    const token = tokenOf(request)
    if (request.caller?.grant !== undefined) return this.#core.access.requireStill(request.caller)
    if (request.caller === null || token === undefined) return
    const now = (await sessionOf(this.#core, token))?.caller
    if (now === undefined) throw new Unauthorized()
    mustKeep(request.caller, now)
  }

  /** Calls `end` about a second after the caller has lost a right, with the error to answer. Returns what stops watching. */
  watch({ caller }: FastifyRequest, end: (reason: Error) => void): () => void {
    return caller === null ? () => undefined : this.#core.rights.caller(caller, end)
  }
}

/** `callOf`: what a request asks of which service, for tokens that may not be used for everything. */
export function addAuthentication(app: FastifyInstance, core: Core, callOf: (request: FastifyRequest) => Call): void {
  app.decorateRequest('caller', null)
  app.decorate('authority', new Authority(core))
  app.addHook('onRequest', async (request) => {
    const token = tokenOf(request)
    if (token === undefined) return
    const session = await sessionOf(core, token)
    if (session === null) return
    const rules = session.credential?.accessRules
    // Keystone's middleware takes such a token for none, too.
    if (!rules || mayCall(rules, callOf(request))) request.caller = session.caller
  })
}

/** X-Auth-Token; object storage also knows it as X-Storage-Token. */
export function tokenOf(request: FastifyRequest): string | undefined {
  const token = request.raw.headers['x-auth-token'] ?? request.raw.headers['x-storage-token']
  return typeof token === 'string' && token !== '' ? token : undefined
}

/** null: the token is unknown, expired or revoked. */
export async function sessionOf(core: Core, token: string): Promise<Session | null> {
  try {
    return await core.sessions.authenticate(token)
  } catch (error) {
    if (error instanceof TokenInvalid) return null
    throw error
  }
}

export function requireCaller(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Unauthorized()
  return request.caller
}

/** A caller whose token is scoped to a project, and who may at least look at it. */
export function requireProject(request: FastifyRequest): ProjectCaller {
  const caller = requireCaller(request)
  if (caller.project === undefined) throw new Forbidden('this needs a token that is scoped to a project')
  mayRead(caller)
  return { ...caller, project: caller.project }
}

export function requireAdmin(request: FastifyRequest): Caller {
  const caller = requireCaller(request)
  if (!caller.isAdmin) throw new Forbidden('this needs the role admin')
  return caller
}

/**
 * Who calls: the token of a request, judged once.
 *
 * `request.caller` is null without a valid token. Whether that is a refusal is for each API to say, in its own words:
 * `requireCaller` and `requireProject` throw `Unauthorized` and `Forbidden`, which its error handler formats.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Core } from '../core/core.js'
import { Forbidden, Unauthorized } from './errors.js'

export interface Named {
  id: string
  name: string
}

/** Whom a token speaks for. */
export interface Caller {
  user: Named
  /** undefined: the token is unscoped. */
  project: Named | undefined
  roles: Named[]
  isAdmin: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
}

export function addAuthentication(app: FastifyInstance, core: Core): void {
  app.decorateRequest('caller', null)
  app.addHook('onRequest', async (request) => {
    const token = tokenOf(request)
    if (token !== undefined) request.caller = await callerOf(core, token)
  })
}

/** X-Auth-Token; object storage also knows it as X-Storage-Token. */
export function tokenOf(request: FastifyRequest): string | undefined {
  const token = request.raw.headers['x-auth-token'] ?? request.raw.headers['x-storage-token']
  return typeof token === 'string' && token !== '' ? token : undefined
}

async function callerOf(core: Core, token: string): Promise<Caller | null> {
  throw new Error(`not yet: ${core} ${token}`)
}

export function requireCaller(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Unauthorized()
  return request.caller
}

/** A caller whose token is scoped to a project. */
export function requireProject(request: FastifyRequest): Caller & { project: Named } {
  const caller = requireCaller(request)
  if (caller.project === undefined) throw new Forbidden('this needs a token that is scoped to a project')
  return { ...caller, project: caller.project }
}

export function requireAdmin(request: FastifyRequest): Caller {
  const caller = requireCaller(request)
  if (!caller.isAdmin) throw new Forbidden('this needs the role admin')
  return caller
}

/** What a request is about, and on whose behalf: the URL's names and the caller, judged together. */

import type { FastifyRequest } from 'fastify'
import type { ProjectCaller } from '../../../../core/model/records.js'
import { SwiftError } from '../errors.js'
import { parsePath } from './path.js'

export const accountPrefix = 'AUTH_'

export interface AccountTarget {
  caller: ProjectCaller
  /** As in the URL: `AUTH_<project id>`. */
  account: string
  projectId: string
}

export interface ContainerTarget extends AccountTarget {
  container: string
}

export interface ObjectTarget extends ContainerTarget {
  object: string
}

export type Target =
  | { kind: 'account'; target: AccountTarget }
  | { kind: 'container'; target: ContainerTarget }
  | { kind: 'object'; target: ObjectTarget }

/** Throws 401 without a valid token, 403 with one that is good for nothing here, 412 for a path that names nothing. */
export function targetOf(request: FastifyRequest): Target {
  const { account, container, object } = parsePath(request.originalUrl)
  const target: AccountTarget = { caller: callerFor(request, account), account, projectId: projectIdOf(account) }
  if (container === undefined) return { kind: 'account', target }
  if (object === undefined) return { kind: 'container', target: { ...target, container } }
  return { kind: 'object', target: { ...target, container, object } }
}

/** Throws 403 for an account that cannot be anyone's: other prefixes are other people's (as with Swift's reseller prefix). */
export function projectIdOf(account: string): string {
  if (!account.startsWith(accountPrefix)) throw new SwiftError(403)
  return account.slice(accountPrefix.length)
}

function callerFor(request: FastifyRequest, account: string): ProjectCaller {
  const { caller } = request
  if (caller === null) {
    // Quoted in the header: whatever the client put into the URL must not end the quotation.
    const realm = account.replace(/[^A-Za-z0-9_.-]/g, '').slice(0, 256) || 'unknown'
    throw new SwiftError(401, undefined, { 'www-authenticate': `Swift realm="${realm}"` })
  }
  if (caller.project === undefined || !caller.canRead) throw new SwiftError(403)
  return { ...caller, project: caller.project }
}

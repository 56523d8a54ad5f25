/** What a request is about, and on whose behalf: the URL's names and the caller, judged together. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { Caller, ProjectCaller } from '../../../../core/model/records.js'
import type { Need } from '../../../../core/objects/access.js'
import { SwiftError } from '../errors.js'
import type { SwiftPath } from './path.js'
import { isSigned, signedCaller } from './temp_url.js'

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

/** What the method needs: see Need. COPY reads where it is addressed; its destination is asked for by itself. */
function needOf({ container, object }: SwiftPath, method: string): Need {
  const reads = method === 'GET' || method === 'HEAD'
  if (object !== undefined) return reads || method === 'COPY' ? 'read' : 'write'
  if (!reads) return 'owner'
  return container === undefined ? 'read' : 'list'
}

/** Throws 401 without a right and a valid token, 403 with a token that is good for nothing here. */
export async function targetOf(core: Core, request: FastifyRequest, path: SwiftPath): Promise<Target> {
  const caller = await callerAt(core, request, path, needOf(path, request.method))
  const { account, container, object } = path
  const target: AccountTarget = { caller, account, projectId: projectIdOf(account) }
  if (container === undefined) return { kind: 'account', target }
  if (object === undefined) return { kind: 'container', target: { ...target, container } }
  return { kind: 'object', target: { ...target, container, object } }
}

/** Throws 403 for an account that cannot be anyone's: other prefixes are other people's (as with Swift's reseller prefix). */
export function projectIdOf(account: string): string {
  if (!account.startsWith(accountPrefix)) throw new SwiftError(403)
  return account.slice(accountPrefix.length)
}

/** By the tokens of requests that are allowed by something else than their token's role; null: without a token. */
const strangers = new WeakMap<FastifyRequest, Caller | null>()

/**
 * Returns who may do this in a container, or in the account itself: by the role of the token, by a signed URL, or by an access
 * list. Only the role is known without asking the catalog. Throws 401 without a token, 403 with one.
 */
export async function callerAt(
  core: Core,
  request: FastifyRequest,
  path: Pick<SwiftPath, 'account' | 'container'> & { object?: string | undefined },
  need: Need,
): Promise<ProjectCaller> {
  const { account, container } = path
  if (strangers.has(request) && isSigned(request)) return { ...request.caller } as ProjectCaller
  const token = strangers.has(request) ? (strangers.get(request) ?? null) : request.caller
  if (!isSigned(request) && token !== null) {
    const projectId = projectIdOf(account)
    const { project } = token
    if (project !== undefined && (token.isAdmin || project.id === projectId) && roleGrants(token, need))
      return { ...token, project }
  }
  const caller = isSigned(request)
    ? await signedCaller(core.access, request, { account, container, object: path.object }, projectIdOf(account))
    : await listedCaller(core, request, token, { account, container }, need)
  if (caller === undefined) throw token === null ? unauthorized(account) : new SwiftError(403)
  strangers.set(request, token)
  // Uploads, downloads and the log count for the account that is used.
  request.caller = caller
  return caller
}

const roleGrants = (caller: Caller, need: Need): boolean =>
  need === 'read' || need === 'list' ? caller.canRead : caller.canWrite

function listedCaller(
  core: Core,
  request: FastifyRequest,
  token: Caller | null,
  { account, container }: Pick<SwiftPath, 'account' | 'container'>,
  need: Need,
): Promise<ProjectCaller | undefined> | undefined {
  // Strangers without a token learn nothing of accounts that cannot be anyone's.
  if (!account.startsWith(accountPrefix)) return undefined
  const projectId = projectIdOf(account)
  const { referer: referrer } = request.headers
  return core.access.byLists({ projectId, container, caller: token ?? undefined, need, referrer })
}

/** Whether the caller sees and sets what concerns the owner of the account alone. */
export const ownsAccount = ({ grant, canWrite }: ProjectCaller): boolean => grant?.ownsAccount ?? canWrite

export function unauthorized(account: string): SwiftError {
  // Quoted in the header: whatever the client put into the URL must not end the quotation.
  const realm = account.replace(/[^A-Za-z0-9_.-]/g, '').slice(0, 256) || 'unknown'
  return new SwiftError(401, undefined, { 'www-authenticate': `Swift realm="${realm}"` })
}

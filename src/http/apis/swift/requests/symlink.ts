/** `X-Symlink-Target` and what belongs to it (swift/common/middleware/symlink.py). */

import type { FastifyRequest } from 'fastify'
import type { LinkIndirection } from '../../../../core/model/indirection.js'
import { SwiftError } from '../errors.js'
import { normalizeEtag } from './conditional.js'
import { decodeText, parseObjectReference } from './path.js'
import { type ObjectTarget, projectIdOf } from './target.js'

export interface WantedLink {
  link: LinkIndirection
  /** Of a static link: what the target must have. */
  etag: string | undefined
}

/** Throws 412 for a target of another form, 400 for one that is the link itself and for an ETag that cannot be one. */
export function wantedLink(request: FastifyRequest, target: ObjectTarget): WantedLink {
  const reference = String(request.headers['x-symlink-target'])
  if (decodeText(reference).startsWith('/')) {
    throw new SwiftError(412, 'X-Symlink-Target header must be of the form <container name>/<object name>')
  }
  const { container, object } = parseObjectReference(reference, 'X-Symlink-Target')
  const named = request.headers['x-symlink-target-account']
  const account = named === undefined ? undefined : decodeText(String(named))
  if (account !== undefined && (account === '' || account.includes('/'))) {
    throw new SwiftError(412, 'Account name cannot contain slashes')
  }
  const isItself =
    (account ?? target.account) === target.account && container === target.container && object === target.object
  if (isItself) throw new SwiftError(400, 'Symlink cannot target itself')
  const etag = normalizeEtag(String(request.headers['x-symlink-target-etag'] ?? ''))
  if (/[;"\\]/.test(etag)) throw new SwiftError(400, 'Bad X-Symlink-Target-Etag format')
  const elsewhere = account === undefined ? {} : { account, projectId: projectIdOf(account) }
  return { link: { kind: 'link', ...elsewhere, container, object }, etag: etag || undefined }
}

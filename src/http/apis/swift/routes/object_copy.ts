/** COPY, and PUT with X-Copy-From: the same thing seen from either end. No data moves. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { Need } from '../../../../core/objects/access.js'
import { contentLength, hasBody } from '../../../shared/body.js'
import { isTrue } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { checkContainerName, checkObjectName } from '../limits.js'
import { checkPutConditionSyntax, checkReadConditions } from '../requests/conditional.js'
import { checkMetadataSize, metadataChange } from '../requests/metadata.js'
import { givenContentType, keptHeaders } from '../requests/object_headers.js'
import { parseObjectReference } from '../requests/path.js'
import { callerAt, type ObjectTarget, projectIdOf } from '../requests/target.js'
import { metadataHeaders } from '../responses/metadata.js'
import { copiedFromHeaders, etagHeader, validatorHeaders, validatorOf } from '../responses/object_headers.js'
import { lastModifiedHeader } from '../responses/timestamps.js'

/** COPY: the URL is the source, Destination says where to. */
export async function copyObject(core: Core, source: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const destination = oneHeader(request, 'destination')
  if (destination === undefined) throw new SwiftError(412, 'Destination header required')
  const target = await otherTarget(core, source, request, 'write', {
    account: 'destination-account',
    path: parseObjectReference(destination, 'Destination'),
  })
  return copy(core, { source, target }, request, reply)
}

/** PUT: the URL is the target, X-Copy-From says where from. */
export async function copyInto(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const source = await otherTarget(core, target, request, 'read', {
    account: 'x-copy-from-account',
    path: parseObjectReference(oneHeader(request, 'x-copy-from') ?? '', 'X-Copy-From'),
  })
  return copy(core, { source, target }, request, reply)
}

async function copy(
  core: Core,
  { source, target }: { source: ObjectTarget; target: ObjectTarget },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (hasBody(request) || (contentLength(request) ?? 0) > 0) {
    throw new SwiftError(400, 'Copy requests require a zero byte body')
  }
  checkContainerName(target.container)
  checkObjectName(target.object)
  checkPutConditionSyntax(request.headers)
  const { 'if-none-match': onlyIfNew, ...conditions } = request.headers
  const { source: copied, copy: stored } = await core.objects.copy(
    target.caller,
    { from: source, to: target },
    {
      reader: source.caller,
      metadata: metadataChange(request.headers, 'object').set,
      headers: keptHeaders(request),
      contentType: givenContentType(request),
      fresh: isTrue(oneHeader(request, 'x-fresh-metadata')),
      onlyIfNew: onlyIfNew !== undefined,
      checkSource: (current) => checkReadConditions(conditions, validatorOf(current), validatorHeaders(current)),
      checkMetadata: checkMetadataSize,
    },
  )
  return reply
    .code(201)
    .headers({
      ...etagHeader(stored),
      'last-modified': lastModifiedHeader(stored.updatedAt),
      ...copiedFromHeaders(source, copied),
      ...metadataHeaders(stored.metadata, 'object'),
    })
    .type('text/html; charset=UTF-8')
    .send('')
}

/** The other end of the copy; in the same account unless a header names another. Throws 401 or 403 if the caller may not use it. */
async function otherTarget(
  core: Core,
  end: ObjectTarget,
  request: FastifyRequest,
  need: Need,
  other: { account: string; path: { container: string; object: string } },
): Promise<ObjectTarget> {
  const account = oneHeader(request, other.account) ?? end.account
  const caller = await callerAt(core, request, { account, ...other.path }, need)
  return { caller, account, projectId: projectIdOf(account), ...other.path }
}

function oneHeader(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

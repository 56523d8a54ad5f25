/** PUT of an object: the body goes into the store as it comes in, and becomes an object only when all of it is right. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { contentLength } from '../../../shared/body.js'
import { SwiftError } from '../errors.js'
import { checkObjectName, limits } from '../limits.js'
import { checkPutConditionSyntax, normalizeEtag } from '../requests/conditional.js'
import { metadataChange } from '../requests/metadata.js'
import { contentTypeFor, keptHeaders } from '../requests/object_headers.js'
import type { ObjectTarget } from '../requests/target.js'
import { etagHeader } from '../responses/object_headers.js'
import { lastModifiedHeader } from '../responses/timestamps.js'
import { copyInto } from './object_copy.js'

export async function putObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  checkObjectName(target.object)
  if (request.headers['x-copy-from'] !== undefined) return copyInto(core, target, request, reply)
  checkPutConditionSyntax(request.headers)
  const promised = {
    lengthBytes: expectedLength(request),
    md5: expectedMd5(request),
    maxBytes: limits.objectBytes,
    contentType: contentTypeFor(request, target.object),
    metadata: metadataChange(request.headers, 'object').set,
    headers: keptHeaders(request),
    onlyIfNew: request.headers['if-none-match'] !== undefined,
  }
  const stored = await request.server.uploads.receive(request, reply, (body) =>
    core.objects.put(target.caller, target, { ...promised, body }),
  )
  return reply
    .code(201)
    .headers({ ...etagHeader(stored), 'last-modified': lastModifiedHeader(stored.updatedAt) })
    .type('text/html; charset=UTF-8')
    .send('')
}

/** undefined: chunked. Throws 411 when the client says nothing of the length, 413 when it is too much. */
function expectedLength(request: FastifyRequest): number | undefined {
  const lengthBytes = contentLength(request)
  if (lengthBytes === undefined && request.headers['transfer-encoding'] === undefined) {
    throw new SwiftError(411, 'Missing Content-Length header.')
  }
  if (lengthBytes !== undefined && lengthBytes > limits.objectBytes) {
    throw new SwiftError(413, 'Your request is too large.')
  }
  return lengthBytes
}

/** Throws 422 for what no MD5 can be equal to. */
function expectedMd5(request: FastifyRequest): string | undefined {
  const { etag } = request.headers
  if (etag === undefined || etag === '') return undefined
  const md5 = normalizeEtag(String(etag))
  if (!/^[0-9a-f]{32}$/.test(md5)) throw new SwiftError(422)
  return md5
}

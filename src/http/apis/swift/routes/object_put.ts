/** PUT of an object: the body goes into the store as it comes in, and becomes an object only when all of it is right. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { contentLength } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { checkObjectName, limits } from '../limits.js'
import { normalizeEtag } from '../requests/conditional.js'
import { dynamicManifestOf } from '../requests/dynamic_manifest.js'
import { putOptions } from '../requests/put_options.js'
import type { ObjectTarget } from '../requests/target.js'
import { etagHeader } from '../responses/object_headers.js'
import { lastModifiedHeader } from '../responses/timestamps.js'
import { copyInto } from './object_copy.js'
import { putStaticManifest } from './static_put.js'
import { putSymlink } from './symlink_put.js'

export async function putObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  checkObjectName(target.object)
  if (queryParameter(request, 'multipart-manifest') === 'put') return putStaticManifest(core, target, request, reply)
  refuseReserved(request)
  if (request.headers['x-copy-from'] !== undefined) return copyInto(core, target, request, reply)
  if (request.headers['x-symlink-target'] !== undefined) return putSymlink(core, target, request, reply)
  const promised = {
    ...putOptions(request, target.object),
    lengthBytes: expectedLength(request),
    md5: expectedMd5(request),
    maxBytes: limits.objectBytes,
    indirection: dynamicManifestOf(request),
  }
  const stored = await request.server.uploads.receive(request, reply, (body) =>
    core.objects.put(target.caller, target, { ...promised, body }),
  )
  return reply
    .code(201)
    .headers({ ...etagHeader({ etag: stored.md5 }), 'last-modified': lastModifiedHeader(stored.updatedAt) })
    .type('text/html; charset=UTF-8')
    .send('')
}

/** Throws 400 for the header that only the server sets. */
export function refuseReserved(request: FastifyRequest): void {
  if (request.headers['x-static-large-object'] === undefined) return
  throw new SwiftError(
    400,
    'X-Static-Large-Object is a reserved header. To create a static large object add query param ' +
      'multipart-manifest=put.',
  )
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

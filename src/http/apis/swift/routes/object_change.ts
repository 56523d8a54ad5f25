/** POST and DELETE of an object. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { targetOf as linkTarget } from '../../../../core/model/indirection.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError, statusPage } from '../errors.js'
import { dynamicManifestOf } from '../requests/dynamic_manifest.js'
import { expectedExpiry, expiryOf } from '../requests/expiry.js'
import { metadataChange } from '../requests/metadata.js'
import { givenContentType, keptHeaders } from '../requests/object_headers.js'
import { accountPrefix, type ObjectTarget } from '../requests/target.js'
import { objectUrl } from '../urls.js'
import { deleteWithSegments } from './bulk_delete.js'
import { refuseReserved } from './object_put.js'

/** Metadata, kept headers and the expiry are replaced as a whole; the type stays unless a new one is named. */
export async function postObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  refuseReserved(request)
  if (request.headers['x-symlink-target'] !== undefined) {
    throw new SwiftError(400, 'A PUT request is required to set a symlink target')
  }
  const { indirection } = await core.objects.update(target.caller, target, {
    metadata: metadataChange(request.headers, 'object').set,
    headers: keptHeaders(request),
    contentType: givenContentType(request),
    expiresAt: expiryOf(request) ?? null,
    dynamic: dynamicManifestOf(request) ?? null,
  })
  if (indirection?.kind === 'link') {
    const ref = linkTarget(indirection, target.projectId)
    const { expected } = indirection
    throw new SwiftError(
      307,
      'The requested POST was applied to a symlink. POST directly to the target to apply requested metadata.',
      {
        location: objectUrl({ ...ref, account: indirection.account ?? `${accountPrefix}${ref.projectId}` }),
        ...(expected === undefined ? {} : { 'x-symlink-target-etag': expected.etag }),
      },
    )
  }
  return reply.code(202).type('text/html; charset=UTF-8').send(statusPage(202))
}

export async function deleteObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  if (queryParameter(request, 'multipart-manifest') === 'delete') {
    return deleteWithSegments(core, target, request, reply)
  }
  const expiresAt = expectedExpiry(request)
  await core.objects.delete(target.caller, target, {
    check: (object) => {
      if (expiresAt !== undefined && object.expiresAt !== expiresAt) {
        throw new SwiftError(412, 'X-If-Delete-At and X-Delete-At do not match')
      }
    },
  })
  return reply.code(204).type('text/html; charset=UTF-8').send()
}

/** POST and DELETE of an object. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { statusPage } from '../errors.js'
import { metadataChange } from '../requests/metadata.js'
import { givenContentType, keptHeaders } from '../requests/object_headers.js'
import type { ObjectTarget } from '../requests/target.js'

/** Metadata and kept headers are replaced as a whole; the type stays unless a new one is named. */
export async function postObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  await core.objects.update(target.caller, target, {
    metadata: metadataChange(request.headers, 'object').set,
    headers: keptHeaders(request),
    contentType: givenContentType(request),
  })
  return reply.code(202).type('text/html; charset=UTF-8').send(statusPage(202))
}

export async function deleteObject(core: Core, target: ObjectTarget, _: FastifyRequest, reply: FastifyReply) {
  await core.objects.delete(target.caller, target)
  return reply.code(204).type('text/html; charset=UTF-8').send()
}

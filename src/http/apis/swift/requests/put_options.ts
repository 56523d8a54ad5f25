/** What a PUT says of the object beside its bytes. */

import type { FastifyRequest } from 'fastify'
import type { PutObject } from '../../../../core/objects/objects.js'
import { checkPutConditionSyntax } from './conditional.js'
import { expiryOf } from './expiry.js'
import { metadataChange } from './metadata.js'
import { contentTypeFor, keptHeaders } from './object_headers.js'

export type PutOptions = Pick<PutObject, 'contentType' | 'metadata' | 'headers' | 'onlyIfNew' | 'expiresAt'>

/** Throws 400. */
export function putOptions(request: FastifyRequest, objectName: string): PutOptions {
  checkPutConditionSyntax(request.headers)
  return {
    contentType: contentTypeFor(request, objectName),
    metadata: metadataChange(request.headers, 'object').set,
    headers: keptHeaders(request),
    expiresAt: expiryOf(request),
    onlyIfNew: request.headers['if-none-match'] !== undefined,
  }
}

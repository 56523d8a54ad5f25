/** An object's headers, on their way in and out. */

import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { KeptHeaders, StoredObject } from '../../../../core/model/records.js'
import { isTrue } from '../../../shared/query.js'
import type { Validator } from './conditional.js'
import { guessContentType } from './content_type.js'
import { SwiftError } from '../errors.js'
import { headerBytes, headerText, metadataHeaders } from './metadata.js'
import { lastModifiedHeader, lastModifiedSeconds, timestampHeader } from '../responses/timestamps.js'

/** Kept with the object and given back as they were. */
const keptNames = [
  'content-encoding',
  'content-disposition',
  'content-language',
  'cache-control',
  'expires',
  'x-robots-tag',
] as const

const keptValueBytesMax = 1024

export function keptHeaders(request: FastifyRequest): KeptHeaders {
  const kept: KeptHeaders = {}
  for (const name of keptNames) {
    const value = request.headers[name]
    if (value === undefined || value === '') continue
    if (String(value).length > keptValueBytesMax) throw new SwiftError(400, `Header ${name} is too long`)
    kept[name] = headerText(String(value))
  }
  return kept
}

/** undefined: the client names no type. Throws 400 for bytes that are not UTF-8. */
export function givenContentType(request: FastifyRequest): string | undefined {
  const type = request.headers['content-type']
  if (type === undefined || type === '') return undefined
  if (type.length > keptValueBytesMax) throw new SwiftError(400, 'Invalid Content-Type')
  return headerText(type)
}

/** The name's extension decides when the client names no type, or asks for that. */
export function contentTypeFor(request: FastifyRequest, objectName: string): string {
  const given = isTrue(String(request.headers['x-detect-content-type'] ?? '')) ? undefined : givenContentType(request)
  return given ?? guessContentType(objectName)
}

export function validatorOf(object: StoredObject): Validator {
  return { etag: object.md5, modifiedSeconds: lastModifiedSeconds(object.updatedAt) }
}

/** Everything but Content-Length and what ranges change. */
export function objectHeaders(object: StoredObject): Record<string, string> {
  const kept = Object.entries(object.headers).map(([name, value]) => [name, headerBytes(value)])
  return {
    'content-type': headerBytes(object.contentType),
    etag: object.md5,
    'last-modified': lastModifiedHeader(object.updatedAt),
    'x-timestamp': timestampHeader(object.updatedAt),
    'accept-ranges': 'bytes',
    ...Object.fromEntries(kept),
    ...metadataHeaders(object.metadata, 'object'),
  }
}

/** Those of a 304 (RFC 9110, 15.4.5). */
export function notModifiedHeaders(object: StoredObject): Record<string, string> {
  return { etag: object.md5, 'last-modified': lastModifiedHeader(object.updatedAt) }
}

/** Not to be found in the content by someone who wrote it. */
export function newBoundary(requestId: string): string {
  return createHash('md5').update(requestId).digest('hex')
}

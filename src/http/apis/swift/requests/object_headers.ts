/** The headers of a request that are stored with an object. */

import type { FastifyRequest } from 'fastify'
import type { KeptHeaders } from '../../../../core/model/records.js'
import { isTrue } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { headerText } from '../header_text.js'
import { guessContentType } from './content_type.js'

/** Stored with the object and returned unchanged. */
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

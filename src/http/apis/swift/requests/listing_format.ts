/** The format that a client asks for in a listing: text, JSON or XML (swift/common/middleware/listing_formats.py). */

import type { FastifyRequest } from 'fastify'
import { SwiftError } from '../errors.js'
import { type ListingFormat, listingFormats } from '../media_types.js'

/** From `?format=` or else Accept. Throws 406 if the client accepts none of them. */
export function listingFormat(request: FastifyRequest, format: string | undefined): ListingFormat {
  if (format) return formats.get(format.toLowerCase()) ?? 'text/plain'
  return acceptedFormat(request.headers.accept)
}

/** Of the outcome of a request: text unless Accept prefers another one. */
export function outcomeFormat(request: FastifyRequest): ListingFormat {
  try {
    return acceptedFormat(request.headers.accept)
  } catch {
    return 'text/plain'
  }
}

const formats: ReadonlyMap<string, ListingFormat> = new Map([
  ['json', 'application/json'],
  ['xml', 'application/xml'],
])

function acceptedFormat(accept: string | undefined): ListingFormat {
  if (!accept) return 'text/plain'
  let best: { format: ListingFormat; quality: number } | undefined
  for (const item of accept.split(',').slice(0, 50)) {
    const [type = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1)
    if (!(quality > 0)) continue
    const match = listingFormats.find(
      (format) => type === format || type === '*/*' || (type.endsWith('/*') && format.startsWith(type.slice(0, -1))),
    )
    if (match && (best === undefined || quality > best.quality)) best = { format: match, quality }
  }
  if (!best) throw new SwiftError(406)
  return best.format
}

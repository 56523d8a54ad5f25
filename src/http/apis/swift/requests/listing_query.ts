/** The parameters of a listing. */

import type { FastifyRequest } from 'fastify'
import type { ListingQuery } from '../../../../core/lists/listing.js'
import { requireKnownParameters } from '../../../shared/parameters.js'
import { isTrue, queryParameter } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { limits } from '../limits.js'

/** Of GET on accounts and containers. `versions`: swift/unsupported.ts says why it changes nothing. */
const listingParameters = [
  'format',
  'prefix',
  'delimiter',
  'marker',
  'end_marker',
  'limit',
  'reverse',
  'versions',
  'multipart-manifest',
] as const

/** Throws 412 for a limit that is too high, as Swift does, and 400 for what it would ignore. */
export function listingQuery(request: FastifyRequest): ListingQuery {
  const limit = queryParameter(request, 'limit')
  requireKnownParameters(request, listingParameters)
  if (limit !== undefined && !/^\d*$/.test(limit)) throw new SwiftError(400, `Invalid limit: ${limit.slice(0, 64)}`)
  if (Number(limit) > limits.listing) throw new SwiftError(412, `Maximum limit is ${limits.listing}`)
  return {
    prefix: queryParameter(request, 'prefix'),
    delimiter: queryParameter(request, 'delimiter'),
    marker: queryParameter(request, 'marker'),
    endMarker: queryParameter(request, 'end_marker'),
    limit: limit ? Number(limit) : limits.listing,
    reverse: isTrue(queryParameter(request, 'reverse')),
  }
}

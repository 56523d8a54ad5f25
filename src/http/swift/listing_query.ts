/** The parameters of a listing. */

import type { FastifyRequest } from 'fastify'
import type { ListingQuery } from '../../core/listing.js'
import { isTrue, queryParameter } from '../query.js'
import { SwiftError } from './errors.js'
import { limits } from './limits.js'

/** Throws 412 for a limit that is too high, as Swift does; what is no number at all is not looked at. */
export function listingQuery(request: FastifyRequest): ListingQuery {
  const limit = queryParameter(request, 'limit')
  const limitGiven = limit !== undefined && /^\d+$/.test(limit)
  if (limitGiven && Number(limit) > limits.listing) throw new SwiftError(412, `Maximum limit is ${limits.listing}`)
  return {
    prefix: queryParameter(request, 'prefix'),
    delimiter: queryParameter(request, 'delimiter'),
    marker: queryParameter(request, 'marker'),
    endMarker: queryParameter(request, 'end_marker'),
    limit: limitGiven ? Number(limit) : limits.listing,
    reverse: isTrue(queryParameter(request, 'reverse')),
  }
}

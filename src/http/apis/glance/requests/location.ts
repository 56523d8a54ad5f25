/**
 * Registration of what is stored already: an image gets its data from a location, and no byte moves.
 *
 * Forms of URLs (core parses all but the last, see core/conversions/image_location.ts):
 *   swift://AUTH_<project>/<container>/<object>     an object
 *   cinder://snapshots/<id>, cinder://volumes/<id>  a snapshot; a volume as it is now
 *   http(s)://HOST/v1/AUTH_<project>/<container>/<object>
 *     the object's URL at this server, as object storage itself names it: rewritten to the first form
 */

import type { FastifyRequest } from 'fastify'
import type { RegisteredLocation } from '../../../../core/conversions/image_sources.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { GlanceFault } from '../errors.js'
import type { Location } from './image_body.js'

/** Returns the location as core expects it. Throws 400. */
export function registeredLocation(location: Location, request: FastifyRequest, urls: UrlSettings): RegisteredLocation {
  const { size, checksum, os_hash_algo: algorithm, os_hash_value: digest } = location.validation_data ?? {}
  if (digest !== undefined && algorithm !== 'sha256')
    throw new GlanceFault(400, `os_hash_algo must be sha256, not ${algorithm ?? 'absent'}`)
  return {
    url: ownUrlToSwift(location.url, baseUrl(request, urls)),
    sizeBytes: size ?? sizeInMetadata(location.metadata),
    md5: checksum?.toLowerCase(),
    sha256: digest?.toLowerCase(),
  }
}

/** `glance location-add` has no field for a size: `--metadata '{"size": 123}'` states one as well. */
function sizeInMetadata(metadata: Record<string, unknown>): number | undefined {
  const size = metadata['size']
  if (size === undefined) return undefined
  if (typeof size === 'number' && Number.isSafeInteger(size) && size >= 0) return size
  throw new GlanceFault(400, "The location's size must be a whole number of bytes.")
}

/** Only URLs under our own base are rewritten: data of other servers is never fetched. */
function ownUrlToSwift(url: string, base: string): string {
  const prefix = `${base}/v1/`
  return url.startsWith(prefix) ? `swift://${url.slice(prefix.length)}` : url
}

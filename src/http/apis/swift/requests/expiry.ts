/** When an object expires: `X-Delete-At` and `X-Delete-After` (swift/common/constraints.py, check_delete_headers). */

import type { FastifyRequest } from 'fastify'
import { SwiftError } from '../errors.js'

const secondsMax = 9_999_999_999

/** In milliseconds; undefined: the request does not say. Throws 400 for what is no whole number, or lies in the past. */
export function expiryOf(request: FastifyRequest): number | undefined {
  const now = Date.now() / 1000
  const after = wholeSeconds(request, 'X-Delete-After')
  const at = after === undefined ? wholeSeconds(request, 'X-Delete-At') : Math.floor(now) + after
  if (at === undefined) return undefined
  if (at <= now) throw new SwiftError(400, `${after === undefined ? 'X-Delete-At' : 'X-Delete-After'} in past`)
  return Math.min(at, secondsMax) * 1000
}

/** `X-If-Delete-At` in milliseconds; undefined: there is none. Throws 400. */
export function expectedExpiry(request: FastifyRequest): number | undefined {
  const value = request.headers['x-if-delete-at']
  if (value === undefined) return undefined
  if (!/^\d{1,10}(\.0*)?$/.test(String(value))) throw new SwiftError(400, 'Bad X-If-Delete-At header value')
  return Number.parseInt(String(value), 10) * 1000
}

function wholeSeconds(request: FastifyRequest, name: string): number | undefined {
  const value = request.headers[name.toLowerCase()]
  if (value === undefined) return undefined
  if (!/^\s*[+-]?\d{1,15}\s*$/.test(String(value))) throw new SwiftError(400, `Non-integer ${name}`)
  return Number(value)
}

/** Query parameters, which any client may repeat. */

import type { FastifyRequest } from 'fastify'

/** The first of that name; undefined: there is none. */
export function queryParameter(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, string | string[] | undefined>)[name]
  return Array.isArray(value) ? value[0] : value
}

/** What OpenStack services take for true. */
export function isTrue(text: string | undefined): boolean {
  return /^(true|1|yes|on|t|y)$/i.test(text ?? '')
}

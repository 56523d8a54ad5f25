/**
 * Query parameters that a call knows. One that is not known is refused, because a filter that does not filter shows more than
 * the client asked for; and so is one that is given twice where one value counts.
 *
 * Each API has one table of its GET calls (`<api>/parameters.ts`). A call that is not in it takes no parameters.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BadParameter } from './errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whatever is asked for, it is refused as a whole: it is not served. */
    anyParameters?: boolean
  }
}

/** The names that a call knows; `judged by the call`: it takes any, and refuses by itself what it does not know. */
export type KnownParameters = readonly string[] | 'judged by the call'

/** By the URL of the route, without the prefix that the API is mounted at. */
export type ParameterTable = Readonly<Record<string, KnownParameters>>

/** Holds the GET calls of an API to its table, once it is known who calls. `routeOf`: the URL of a route as the table has it. */
export function refuseUnknownParameters(
  app: FastifyInstance,
  table: ParameterTable,
  routeOf: (url: string) => string,
): void {
  app.addHook('preHandler', (request, _reply, done) => {
    try {
      if (request.method === 'GET' || request.method === 'HEAD') check(request, table, routeOf)
      done()
    } catch (error) {
      done(error as Error)
    }
  })
}

/** Throws BadParameter. */
export function requireKnownParameters(request: FastifyRequest, known: readonly string[]): void {
  for (const [name, value] of Object.entries(request.query as Record<string, string | string[]>)) {
    if (!known.includes(name))
      throw new BadParameter(`the query parameter "${shown(name)}" is not served here; ${listOf(known)}`)
    if (Array.isArray(value)) throw new BadParameter(`expected one query parameter "${name}", got ${value.length}`)
  }
}

function check(request: FastifyRequest, table: ParameterTable, routeOf: (url: string) => string): void {
  const { caller, raw, routeOptions } = request
  // Strangers learn that they are strangers from the handler, and discovery is open to them whatever they add to it.
  if (caller === null || !raw.url?.includes('?') || routeOptions.config.anyParameters) return
  const route = routeOf(routeOptions.url ?? '')
  const known = Object.hasOwn(table, route) ? table[route] : []
  if (known !== undefined && known !== 'judged by the call') requireKnownParameters(request, known)
}

const shown = (name: string): string => (name.length > 64 ? `${name.slice(0, 64)}…` : name)

function listOf(known: readonly string[]): string {
  return known.length === 0 ? 'this call has none' : `expected one of ${known.join(', ')}`
}

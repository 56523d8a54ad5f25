/** Query parameters, which any client may repeat. */

import type { FastifyRequest } from 'fastify'

type Parameters = Record<string, string | string[] | undefined>

const malformed = Symbol('malformed')
const none: Parameters = Object.freeze(Object.create(null))

/**
 * The parameters of a query string, as Fastify's `querystringParser`. A parser must not throw; what is no percent-encoded UTF-8
 * is marked instead, and refused before any handler sees it (protocol.ts).
 */
export function parseQuery(text: string): Parameters {
  if (text === '') return none
  // Without a prototype: clients choose the names.
  const parameters: Parameters & { [malformed]?: boolean } = Object.create(null)
  try {
    for (const pair of text.split('&')) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      add(
        parameters,
        decode(equals < 0 ? pair : pair.slice(0, equals)),
        equals < 0 ? '' : decode(pair.slice(equals + 1)),
      )
    }
  } catch {
    parameters[malformed] = true
  }
  return parameters
}

export function isMalformed(query: unknown): boolean {
  return (query as { [malformed]?: boolean })[malformed] === true
}

function add(parameters: Parameters, name: string, value: string): void {
  const before = parameters[name]
  if (before === undefined) parameters[name] = value
  else if (Array.isArray(before)) before.push(value)
  else parameters[name] = [before, value]
}

/** Throws URIError. */
function decode(text: string): string {
  const spaced = text.replaceAll('+', ' ')
  return spaced.includes('%') ? decodeURIComponent(spaced) : spaced
}

/** The first of that name; undefined: there is none. */
export function queryParameter(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Parameters)[name]
  return Array.isArray(value) ? value[0] : value
}

/** What OpenStack services take for true. */
export function isTrue(text: string | undefined): boolean {
  return flagOf(text ?? '') ?? false
}

/** What OpenStack services take for true and for false; undefined: neither. */
export function flagOf(text: string): boolean | undefined {
  if (/^(true|1|yes|on|t|y)$/i.test(text)) return true
  return /^(false|0|no|off|f|n)$/i.test(text) ? false : undefined
}

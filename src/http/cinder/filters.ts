/**
 * Which filters lists take. Up to 3.30 a filter that is not known is ignored, as Cinder ignores it; from 3.31 on it is
 * refused.
 */

import { badRequest } from './faults.js'
import { flagOf } from './validation.js'

const strictFiltersMinor = 31

/** What `GET /resource_filters` answers, and what lists accept. */
export const knownFilters = {
  volume: ['name', 'status', 'metadata', 'bootable', 'availability_zone', 'id'],
  snapshot: ['name', 'status', 'volume_id', 'metadata'],
  attachment: ['volume_id', 'status', 'attach_status', 'instance_id'],
} as const

/** Only administrators may ask for another project's things. */
const adminFilters = ['project_id', 'tenant_id']

export function judgeFilters(
  filters: Map<string, string>,
  options: { resource: keyof typeof knownFilters; microversion: number; isAdmin: boolean },
): void {
  const known: readonly string[] = knownFilters[options.resource]
  const unknown = [...filters.keys()].filter(
    (name) => !known.includes(name) && !(options.isAdmin && adminFilters.includes(name)),
  )
  if (unknown.length > 0 && options.microversion >= strictFiltersMinor)
    throw badRequest(`Invalid filters ${unknown.join(', ')} are found in query options.`)
}

/**
 * Before 3.2 every value but false means bootable; from then on only clear words are taken.
 */
export function bootableFilter(text: string | undefined, strict: boolean): boolean | undefined {
  if (text === undefined) return undefined
  if (!strict) return !/^false$/i.test(text)
  const flag = flagOf(text)
  if (flag === undefined) throw badRequest(`Invalid input received: bootable=${text}`)
  return flag
}

/** `{"key": "value"}`, in JSON or, as the stock clients write it, with Python's quotes. */
export function metadataFilter(text: string | undefined): Record<string, string> | undefined {
  if (text === undefined) return undefined
  const members: [string, string][] = []
  const body = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1]
  if (body === undefined) throw badRequest(`Invalid metadata filter ${text}: it must be like {'key': 'value'}.`)
  const member =
    /\s*(?:u?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*:\s*(?:u?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/sy
  while (member.lastIndex < body.length) {
    const match = member.exec(body)
    if (match === null) throw badRequest(`Invalid metadata filter ${text}: it must be like {'key': 'value'}.`)
    members.push([unescaped(match[1] ?? match[2] ?? ''), unescaped(match[3] ?? match[4] ?? '')])
  }
  return Object.fromEntries(members)
}

const unescaped = (text: string): string => text.replace(/\\(.)/gs, '$1')

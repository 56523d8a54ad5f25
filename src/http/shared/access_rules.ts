/** Access rules of application credentials: which calls a token may be used for. */

import type { AccessRule } from '../../core/model/records.js'

export interface Call {
  /** The types under which the service of the call is in the catalog. */
  services: readonly string[]
  method: string
  /** Below the URL of the service, without the query. */
  path: string
}

export function mayCall(rules: readonly AccessRule[], { services, method, path }: Call): boolean {
  const segments = path.split('/')
  return rules.some(
    (rule) => services.includes(rule.service) && rule.method === method && pathMatches(rule.path.split('/'), segments),
  )
}

/** `*` and `{name}` match any one segment, `**` at the end any number. */
function pathMatches(pattern: readonly string[], segments: readonly string[]): boolean {
  const open = pattern.at(-1) === '**'
  const fixed = open ? pattern.slice(0, -1) : pattern
  if (open ? segments.length < fixed.length : segments.length !== fixed.length) return false
  return fixed.every((part, index) => {
    const segment = segments[index] as string
    return part === segment || (segment !== '' && (part === '*' || /^\{[^{}]*\}$/.test(part)))
  })
}

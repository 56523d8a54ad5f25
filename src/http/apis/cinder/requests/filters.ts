/** The values of filters that are more than a text. Which ones there are: parameters.ts. */

import { badRequest } from '../errors.js'
import { flagOf } from './validation.js'

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

/** What a volume may have; a filter by more finds nothing. */
const membersMax = 128

/** `{"key": "value"}`, in JSON or, as the stock clients write it, with Python's quotes. */
export function metadataFilter(text: string | undefined): Record<string, string> | undefined {
  if (text === undefined) return undefined
  const members: [string, string][] = []
  const body = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1]
  if (body === undefined) throw badRequest(`Invalid metadata filter ${text}: it must be like {'key': 'value'}.`)
  const member =
    /\s*(?:u?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*:\s*(?:u?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/sy
  while (member.lastIndex < body.length) {
    if (members.length >= membersMax)
      throw badRequest(`Invalid metadata filter: expected at most ${membersMax} members, got more.`)
    const match = member.exec(body)
    if (match === null) throw badRequest(`Invalid metadata filter ${text}: it must be like {'key': 'value'}.`)
    members.push([unescaped(match[1] ?? match[2] ?? ''), unescaped(match[3] ?? match[4] ?? '')])
  }
  return Object.fromEntries(members)
}

const unescaped = (text: string): string => text.replace(/\\(.)/gs, '$1')

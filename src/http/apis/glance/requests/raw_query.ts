/** A parsed query string, from which parameters are taken one after the other until only unknown ones are left. */

import { GlanceFault } from '../errors.js'

export type RawQuery = Record<string, string | string[] | undefined>

interface QueryParams {
  /** Takes a parameter. Throws 400 when it is repeated: only one value would count. */
  one(name: string): string | undefined
  /** Takes all values of a parameter that may be repeated. Throws 400 when there are more than `max`. */
  all(name: string, max: number): string[]
  /** What nobody has taken. */
  rest(): Map<string, string[]>
}

export function takeAll(raw: RawQuery): QueryParams {
  const values = new Map<string, string[]>()
  for (const [name, value] of Object.entries(raw))
    if (value !== undefined) values.set(name, Array.isArray(value) ? value : [value])
  const all = (name: string, max: number): string[] => {
    const taken = values.get(name) ?? []
    if (taken.length > max)
      throw new GlanceFault(400, `Invalid filter '${name}': expected at most ${max}, got ${taken.length}.`)
    values.delete(name)
    return taken
  }
  return { all, one: (name) => all(name, 1)[0], rest: () => values }
}

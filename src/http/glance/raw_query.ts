/** A parsed query string, from which parameters are taken one after the other until only unknown ones are left. */

export type RawQuery = Record<string, string | string[] | undefined>

interface QueryParams {
  /** Takes a parameter; its last value counts when it is repeated. */
  last(name: string): string | undefined
  /** Takes all values of a parameter that may be repeated. */
  all(name: string): string[]
  /** What nobody has taken. */
  rest(): Map<string, string[]>
}

export function takeAll(raw: RawQuery): QueryParams {
  const values = new Map<string, string[]>()
  for (const [name, value] of Object.entries(raw))
    if (value !== undefined) values.set(name, Array.isArray(value) ? value : [value])
  const all = (name: string): string[] => {
    const taken = values.get(name) ?? []
    values.delete(name)
    return taken
  }
  return { all, last: (name) => all(name).at(-1), rest: () => values }
}

/** The fields of a create or update body, validated one by one. Unknown ones are kept with the thing, as Keystone does. */

import type { Extra } from '../../../../core/model/records.js'
import { isJsonObject } from '../../../shared/body.js'
import { MalformedBody } from '../../../shared/errors.js'

const textLengthMax = 4096
/** Members that every response has, whatever a client sends. */
const reserved = ['id', 'links', 'options', '__proto__']

export interface Fields {
  /** undefined when absent or null. */
  text(name: string): string | undefined
  requiredText(name: string): string
  nullableText(name: string): string | null | undefined
  flag(name: string): boolean | undefined
  /** undefined when absent or null. */
  list(name: string): unknown[] | undefined
  /** Throws if there are members with other names. */
  requireKnown(known: readonly string[]): void
  /** A field that stays as it is: absent, or the value that the thing has. */
  requireUnchanged(name: string, now: unknown): void
  /** undefined when absent or null. */
  texts(name: string): string[] | undefined
  /** The members with other names than these: kept and given back. A name is reserved if responses have it. */
  extra(known: readonly string[]): Extra
}

/** `body`: `{<wrapper>: {...}}`. Throws MalformedBody. */
export function fieldsOf(body: Record<string, unknown>, wrapper: string): Fields {
  const values = body[wrapper]
  if (!isJsonObject(values)) throw new MalformedBody(`${wrapper} must be an object`)
  const fields: Fields = {
    text: (name) => fields.nullableText(name) ?? undefined,
    requiredText: (name) => {
      const text = fields.text(name)
      if (text === undefined || text === '') throw new MalformedBody(`${wrapper}.${name} must be given`)
      return text
    },
    nullableText: (name) => {
      const value = values[name]
      if (value === undefined || value === null) return value
      if (typeof value !== 'string') throw new MalformedBody(`${wrapper}.${name} must be a string`)
      if (value.length > textLengthMax) throw new MalformedBody(`${wrapper}.${name} is too long`)
      return value
    },
    flag: (name) => {
      const value = values[name]
      if (value === undefined || value === null) return undefined
      if (typeof value !== 'boolean') throw new MalformedBody(`${wrapper}.${name} must be true or false`)
      return value
    },
    list: (name) => {
      const value = values[name]
      if (value === undefined || value === null) return undefined
      if (!Array.isArray(value)) throw new MalformedBody(`${wrapper}.${name} must be a list`)
      return value
    },
    requireKnown: (known) => {
      const unknown = Object.keys(values).find((name) => !known.includes(name))
      if (unknown !== undefined) throw new MalformedBody(`${wrapper} has no member "${unknown.slice(0, 64)}"`)
    },
    requireUnchanged: (name, now) => {
      if (values[name] !== undefined && values[name] !== now)
        throw new MalformedBody(`${wrapper}.${name} cannot be changed`)
    },
    texts: (name) => {
      const value = values[name]
      if (value === undefined || value === null) return undefined
      if (!Array.isArray(value) || !value.every((each): each is string => typeof each === 'string'))
        throw new MalformedBody(`${wrapper}.${name} must be a list of strings`)
      return value
    },
    extra: (known) =>
      Object.fromEntries(Object.entries(values).filter(([name]) => !known.includes(name) && !reserved.includes(name))),
  }
  return fields
}

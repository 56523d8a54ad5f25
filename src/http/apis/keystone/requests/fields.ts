/** The fields of a create or update body, judged one by one. Unknown ones are not looked at, as in Keystone. */

import { isJsonObject } from '../../../shared/body.js'
import { MalformedBody } from '../../../shared/errors.js'

const textLengthMax = 4096

export interface Fields {
  /** undefined when absent or null. */
  text(name: string): string | undefined
  requiredText(name: string): string
  nullableText(name: string): string | null | undefined
  flag(name: string): boolean | undefined
  /** A thing may be asked for in the one domain only. */
  requireDefaultDomain(): void
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
    requireDefaultDomain: () => {
      const domain = fields.text('domain_id')
      if (domain !== undefined && domain !== 'default') throw new MalformedBody('the only domain is "default"')
    },
  }
  return fields
}

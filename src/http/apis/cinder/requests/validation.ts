/**
 * Validation of request bodies against TypeBox schemas. Messages name the member that is wrong, its value and what was expected.
 */

import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value, type ValueError } from '@sinclair/typebox/value'
import { badRequest } from '../errors.js'

const shownValueMax = 100

/** Throws 400 with Cinder's text: "Invalid input for field/attribute size. Value: x. …". */
export function validate<T extends TSchema>(schema: T, body: unknown): Static<T> {
  if (Value.Check(schema, body)) return body as Static<T>
  const error = Value.Errors(schema, body).First()
  throw badRequest(error ? describeError(error) : 'Malformed request body')
}

function describeError({ path, value, message, schema }: ValueError): string {
  const field = path.split('/').at(-1) || 'body'
  if (message === 'Unexpected property') return `Additional properties are not allowed ('${field}' was unexpected)`
  if (message === 'Expected required property') return `'${field}' is a required property`
  const json = JSON.stringify(value) ?? 'undefined'
  const shown = json.length > shownValueMax ? `${json.slice(0, shownValueMax)}…` : json
  const expected = schema.description ? `It must be ${schema.description}` : message
  return `Invalid input for field/attribute ${field}. Value: ${shown}. ${expected}.`
}

const truthy = ['True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't']
const falsy = ['False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']

export const Flag = Type.Union([Type.Boolean(), ...[...truthy, ...falsy].map((text) => Type.Literal(text))], {
  description: "a boolean or one of the strings 'true' and 'false'",
})

/** The value of a valid `Flag`. */
export function isTrue(flag: Static<typeof Flag> | null | undefined): boolean {
  return flag === true || (typeof flag === 'string' && truthy.includes(flag))
}

/** A query parameter; undefined when it is neither. */
export function flagOf(text: string): boolean | undefined {
  if (truthy.includes(text)) return true
  return falsy.includes(text) ? false : undefined
}

export const Text = Type.String({ maxLength: 255, description: 'a string of at most 255 characters' })
export const NullableText = Type.Union([Type.String({ maxLength: 255 }), Type.Null()], {
  description: 'a string of at most 255 characters, or null',
})

const uuidPattern = '^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$'
export const Uuid = Type.String({ pattern: uuidPattern, description: 'a UUID' })
/** The empty string counts as null, as some clients send it. */
export const NullableUuid = Type.Union([Type.String({ pattern: uuidPattern }), Type.Literal(''), Type.Null()], {
  description: 'a UUID or null',
})

const metadataValue = Type.String({ maxLength: 255, description: 'a string of at most 255 characters' })
export const Metadata = Type.Record(Type.String({ pattern: '^[a-zA-Z0-9\\-_:. ]{1,255}$' }), metadataValue, {
  additionalProperties: false,
  maxProperties: 128,
  description: 'an object of at most 128 strings, its names of at most 255 letters, digits, spaces and -_:.',
})
export const NullableMetadata = Type.Union([Metadata, Type.Null()], { description: `${Metadata.description}, or null` })

const gibMax = 2 ** 31 - 1
const wholeGib = [
  Type.Integer({ minimum: 1, maximum: gibMax }),
  Type.String({ pattern: '^0*[1-9][0-9]{0,9}$' }),
] as const
export const SizeGib = Type.Union([...wholeGib], { description: 'a whole number of GiB, 1 or more' })
export const NullableSizeGib = Type.Union([...wholeGib, Type.Null()], {
  description: 'a whole number of GiB, 1 or more, or null',
})

/** The value of a valid size. */
export function gibOf(size: number | string): number {
  return Number(size)
}

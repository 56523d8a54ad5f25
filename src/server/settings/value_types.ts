/** What the values of settings may be. A value comes as text (flag, environment) or as YAML has it (file). */

import {
  BadAddress,
  type HostPort,
  hostPortForm,
  type ListenAddress,
  listenAddressForm,
  parseHostPort,
  parseListenAddress,
  withoutTrailingSlashes,
} from '../../lib/addresses.js'
import { AtollError } from '../../lib/errors.js'
import { proxiesExpected, type ProxyTrust, parseTrustedProxies } from '../../lib/trusted_proxies.js'
import { parseSize } from '../../lib/units.js'

export interface ValueType<Value> {
  /** Completes "expected …", for errors and docs/reference/settings.md. */
  expected: string
  /** True if the flag may be repeated and a variable has commas between the items. */
  list?: true
  /** Throws an Error that says what was expected and what was given. */
  parse(given: unknown): Value
}

/** Returned by readers for a value that is not of their type: undefined is a value of some types. */
const mismatch = Symbol('mismatch')

function valueType<Value>(expected: string, read: (given: unknown) => Value | typeof mismatch): ValueType<Value> {
  return {
    expected,
    parse: (given) => {
      const value = read(given)
      if (value === mismatch) throw new Error(`expected ${expected}, got ${shown(given)}`)
      return value
    },
  }
}

const shownMax = 80

/** A given value as an error message names it. */
export function shown(given: unknown): string {
  if (given === null) return 'an empty value'
  if (Array.isArray(given)) return 'a list'
  if (typeof given === 'object') return 'a map'
  return typeof given === 'string' ? JSON.stringify(given.slice(0, shownMax)) : String(given)
}

const isText = (given: unknown): given is string => typeof given === 'string' && given !== ''

export const text = (expected: string): ValueType<string> =>
  valueType(expected, (given) => (isText(given) ? given : mismatch))

export const file = text('a file path')

export function oneOf<const Choice extends string>(...choices: Choice[]): ValueType<Choice> {
  const expected = `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
  return valueType(expected, (given) => choices.find((choice) => choice === given) ?? mismatch)
}

export function wholeNumber(least: number, most: number): ValueType<number> {
  return valueType(`a whole number from ${least} to ${most}`, (given) => {
    const number = typeof given === 'string' && given.trim() !== '' ? Number(given) : given
    const isWhole = typeof number === 'number' && Number.isInteger(number)
    return isWhole && number >= least && number <= most ? number : mismatch
  })
}

/** A size in bytes, or 0. `least` and `example` are written as people write sizes. */
export function sizeOrNone(least: string, example: string): ValueType<number> {
  const bytesMin = parseSize(least) ?? 0
  return valueType(`0, or a size of at least ${least} such as ${example}`, (given) => {
    const bytes = typeof given === 'string' ? parseSize(given) : given
    const isSize = typeof bytes === 'number' && Number.isSafeInteger(bytes)
    return isSize && (bytes === 0 || bytes >= bytesMin) ? bytes : mismatch
  })
}

const booleans = new Map<unknown, boolean>([
  ...([true, 'true', '1', 'yes'] as const).map((given) => [given, true] as const),
  ...([false, 'false', '0', 'no'] as const).map((given) => [given, false] as const),
])

export const onOrOff: ValueType<boolean> = valueType('true or false', (given) => booleans.get(given) ?? mismatch)

export const url: ValueType<string> = valueType('a URL that starts with http:// or https://', (given) => {
  // The URL parser drops line feeds and tabs, and the text is used as given.
  if (!isText(given) || /[\s\p{Cc}]/u.test(given) || !URL.canParse(given)) return mismatch
  return /^https?:$/.test(new URL(given).protocol) ? withoutTrailingSlashes(given) : mismatch
})

/** What it names is judged by the catalog. */
export const catalogPlace: ValueType<string> = valueType(
  'sqlite, or a URL that starts with postgres:// (without a password)',
  (given) => (isText(given) && /^(sqlite$|postgres(ql)?:\/\/)/.test(given) ? given : mismatch),
)

export const hostPort: ValueType<HostPort> = valueType(hostPortForm, (given) => addressIn(given, parseHostPort))

/** `none` resolves to undefined. `fd`: the socket is open already, and has this descriptor. */
export const hostPortOrNone: ValueType<(HostPort & { fd?: number }) | undefined> = valueType(
  `${hostPortForm}, or none`,
  (given) => (given === 'none' ? undefined : addressIn(given, parseHostPort)),
)

const listenAddress = valueType(listenAddressForm, (given) => addressIn(given, parseListenAddress))

/** One address, or a list of at least one. */
export const listenAddresses: ValueType<ListenAddress[]> = {
  ...valueType(`${listenAddressForm}, or a list of these`, (given) => {
    if (Array.isArray(given)) return given.length > 0 ? given.map((item) => listenAddress.parse(item)) : mismatch
    return isText(given) ? [listenAddress.parse(given)] : mismatch
  }),
  list: true,
}

function addressIn<Address>(given: unknown, parse: (text: string) => Address): Address | typeof mismatch {
  if (!isText(given)) return mismatch
  try {
    return parse(given)
  } catch (error) {
    if (error instanceof AtollError && error.code === BadAddress.code) return mismatch
    throw error
  }
}

export const proxies: ValueType<ProxyTrust> = { expected: proxiesExpected, parse: parseTrustedProxies }

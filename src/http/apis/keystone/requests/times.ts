/** Times with microseconds, as Keystone reads and writes them: `2026-12-01T04:55:23.123456`. Without a zone they are in UTC. */

import { MalformedBody } from '../../../shared/errors.js'

/** Since 1970. Throws MalformedBody. */
export function microsecondsOf(text: string): number {
  const [, seconds, , fraction = '', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.(\d{1,6}))?(Z|[+-]\d\d:?\d\d)?$/.exec(text) ?? []
  const milliseconds = seconds === undefined ? Number.NaN : Date.parse(`${seconds.replace(' ', 'T')}${withColon(zone)}`)
  if (Number.isNaN(milliseconds))
    throw new MalformedBody(`expected a time such as 2026-12-31T23:59:59.000000, got "${text.slice(0, 64)}"`)
  return milliseconds * 1000 + Number(fraction.padEnd(6, '0'))
}

export function timeOf(microseconds: number): string {
  const fraction = String(microseconds % 1_000_000).padStart(6, '0')
  return new Date(Math.floor(microseconds / 1000)).toISOString().replace(/\.\d+Z$/, `.${fraction}`)
}

const withColon = (zone: string): string => zone.replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')

/**
 * The query of `GET /v2/images`: filters, order and page. Judged here, carried out by core.
 *
 * Repeated `tag` parameters must all be present; `name`, `id`, `status`, `disk_format` and `container_format` take
 * `in:a,b`; times take `gt: gte: eq: neq: lt: lte:`; every parameter that is no member of images is an exact match of a
 * custom property. A filter that we cannot carry out is refused: a filter that does not filter would mislead.
 */

import type { Comparison, ImageQuery, ImageSortKey } from '../../core/images.js'
import type { ImageId } from '../../lib/ids.js'
import { GlanceFault } from './faults.js'
import { baseFields, visibilities } from './image_fields.js'
import { type RawQuery, takeAll } from './raw_query.js'

const sortKeys: readonly ImageSortKey[] = [
  'name',
  'status',
  'container_format',
  'disk_format',
  'size',
  'id',
  'created_at',
  'updated_at',
]
const timeOperators = ['gt', 'gte', 'eq', 'neq', 'lt', 'lte'] as const
const memberStatuses = ['pending', 'accepted', 'rejected', 'all'] as const
const limitDefault = 25
const limitMax = 1000

/** `limit` is always set. Throws 400. */
export function parseListQuery(raw: RawQuery): ImageQuery & { limit: number } {
  const params = takeAll(raw)
  // Judged, and then without effect: images are not shared with members yet.
  oneOf('status', params.last('member_status'), memberStatuses)
  if (params.last('changes-since') !== undefined)
    throw new GlanceFault(400, 'The "changes-since" filter is no longer available on v2.')

  const exactSize = count('size', params.last('size'))
  const query: ImageQuery & { limit: number } = {
    limit: limitOf(params.last('limit')),
    marker: params.last('marker') as ImageId | undefined,
    sort: parseSort(params.last('sort'), params.all('sort_key'), params.all('sort_dir')),
    id: choices(params.last('id')),
    name: choices(params.last('name')),
    status: choices(params.last('status')),
    diskFormat: choices(params.last('disk_format')),
    containerFormat: choices(params.last('container_format')),
    visibility: oneOf('visibility value', params.last('visibility'), [...visibilities, 'all']),
    owner: params.last('owner'),
    protected: flag('protected', params.last('protected')),
    hidden: flag('os_hidden', params.last('os_hidden')),
    minSizeBytes: count('size_min', params.last('size_min')) ?? exactSize,
    maxSizeBytes: count('size_max', params.last('size_max')) ?? exactSize,
    md5: params.last('checksum'),
    sha256: params.last('os_hash_value'),
    tags: params.all('tag').map((tag) => tag.trim()),
    createdAt: comparisons('created_at', params.all('created_at')),
    updatedAt: comparisons('updated_at', params.all('updated_at')),
  }
  query.properties = customProperties(params.rest())
  return query
}

function customProperties(rest: Map<string, string[]>): Record<string, string> | undefined {
  const properties: [string, string][] = []
  for (const [name, values] of rest) {
    if (baseFields.has(name)) throw new GlanceFault(400, `Images cannot be filtered by '${name}'.`)
    properties.push([name, values.at(-1) as string])
  }
  return properties.length > 0 ? Object.fromEntries(properties) : undefined
}

function parseSort(combined: string | undefined, keys: string[], directions: string[]): ImageQuery['sort'] {
  if (combined !== undefined) {
    if (keys.length > 0 || directions.length > 0)
      throw new GlanceFault(400, 'Old and new sorting syntax cannot be combined')
    return combined
      .trim()
      .split(',')
      .slice(0, sortKeys.length)
      .map((part) => {
        const [key = '', direction = 'desc'] = part.split(':')
        return { key: sortKey(key), direction: sortDirection(direction) }
      })
  }
  if (directions.length > 1 && directions.length !== keys.length)
    throw new GlanceFault(400, 'Number of sort dirs does not match the number of sort keys')
  return (keys.length > 0 ? keys.slice(0, sortKeys.length) : ['created_at']).map((key, i) => ({
    key: sortKey(key),
    direction: sortDirection((directions.length > 1 ? directions[i] : directions[0]) ?? 'desc'),
  }))
}

function sortKey(text: string): ImageSortKey {
  const key = sortKeys.find((known) => known === text.trim())
  if (key) return key
  throw new GlanceFault(
    400,
    `Invalid sort key: ${text.trim()}. It must be one of the following: ${sortKeys.join(', ')}.`,
  )
}

function sortDirection(text: string): 'asc' | 'desc' {
  const direction = text.trim()
  if (direction === 'asc' || direction === 'desc') return direction
  throw new GlanceFault(400, `Invalid sort direction: ${direction}`)
}

function choices(value: string | undefined): string[] | undefined {
  if (value === undefined) return undefined
  return value.startsWith('in:') ? splitChoices(value.slice(3)) : [value]
}

/** Comma-separated; a value in double quotes may contain commas, and `\"` inside them is a quote. */
function splitChoices(text: string): string[] {
  const values: string[] = []
  const part = /\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*))\s*(,|$)/y
  for (;;) {
    const match = part.exec(text)
    if (match === null) throw new GlanceFault(400, `Invalid filter value ${text}. The quote is not closed.`)
    const [, quoted, plain = '', separator] = match
    values.push(quoted === undefined ? plain.trim() : quoted.replace(/\\(.)/g, '$1'))
    if (separator === '') return values
  }
}

function oneOf<T extends string>(what: string, value: string | undefined, allowed: readonly T[]): T | undefined {
  if (value === undefined) return undefined
  const known = allowed.find((candidate) => candidate === value)
  if (known) return known
  throw new GlanceFault(400, `Invalid ${what}: ${value}`)
}

function flag(name: string, value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined
  const lower = value.toLowerCase()
  if (lower === 'true' || lower === 'false') return lower === 'true'
  throw new GlanceFault(400, `Invalid value '${value}' for '${name}' filter. Valid values are 'true' or 'false'.`)
}

function count(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,15}$/.test(value)) return Number(value)
  throw new GlanceFault(400, `Filter '${name}' must be a number that is not negative; it is '${value}'.`)
}

function limitOf(value: string | undefined): number {
  if (value === undefined) return limitDefault
  if (!/^-?\d{1,9}$/.test(value)) throw new GlanceFault(400, 'limit param must be an integer')
  if (Number(value) < 0) throw new GlanceFault(400, 'limit param must be positive')
  return Math.min(Number(value), limitMax)
}

function comparisons(name: string, values: string[]): Comparison[] | undefined {
  if (values.length === 0) return undefined
  return values.map((value) => {
    const match = /^(?:([a-z]{2,3}):)?(\d{4}-.*)$/.exec(value)
    const operator = timeOperators.find((known) => known === (match?.[1] ?? 'eq'))
    const text = match?.[2] ?? ''
    const time = Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`)
    if (operator === undefined || Number.isNaN(time))
      throw new GlanceFault(400, `Invalid time filter '${name}': '${value}'. Use OPERATOR:YYYY-MM-DDThh:mm:ssZ.`)
    return { operator, value: time }
  })
}

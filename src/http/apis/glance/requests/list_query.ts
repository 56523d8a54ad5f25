/**
 * The query of `GET /v2/images`: filters, order and page. Judged here, carried out by core.
 *
 * Repeated `tag` parameters must all be present; `name`, `id`, `status`, `disk_format` and `container_format` take
 * `in:a,b`; times take `gt: gte: eq: neq: lt: lte:`; every parameter that is no member of images is an exact match of a
 * custom property. A filter that we cannot carry out is refused: a filter that does not filter would mislead.
 */

import type { Comparison, ImageQuery, ImageSortKey } from '../../../../core/images/images.js'
import { memberStatuses } from '../../../../core/model/records.js'
import type { ImageId } from '../../../../lib/ids.js'
import { GlanceFault } from '../errors.js'
import { baseFields, visibilities } from '../image_fields.js'
import { splitChoices } from './choices.js'
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
const limitDefault = 25
const limitMax = 1000
/** Of one `in:` filter. */
const choicesMax = 1000
/** An image has no more tags and no more properties; each condition is a part of the query, whose depth is bounded. */
const conditionsMax = 128
const comparisonsMax = 16
const sortsMax = sortKeys.length

/** `limit` is always set. Throws 400. */
export function parseListQuery(raw: RawQuery): ImageQuery & { limit: number } {
  const params = takeAll(raw)
  if (params.one('changes-since') !== undefined)
    throw new GlanceFault(400, 'The "changes-since" filter is no longer available on v2.')

  const exactSize = count('size', params.one('size'))
  const query: ImageQuery & { limit: number } = {
    limit: limitOf(params.one('limit')),
    marker: params.one('marker') as ImageId | undefined,
    sort: parseSort(params.one('sort'), params.all('sort_key', sortsMax), params.all('sort_dir', sortsMax)),
    id: choices(params.one('id')),
    name: choices(params.one('name')),
    status: choices(params.one('status')),
    diskFormat: choices(params.one('disk_format')),
    containerFormat: choices(params.one('container_format')),
    visibility: oneOf('visibility value', params.one('visibility'), [...visibilities, 'all']),
    memberStatus: oneOf('status', params.one('member_status'), [...memberStatuses, 'all']),
    owner: params.one('owner'),
    protected: flag('protected', params.one('protected')),
    hidden: flag('os_hidden', params.one('os_hidden')),
    minSizeBytes: count('size_min', params.one('size_min')) ?? exactSize,
    maxSizeBytes: count('size_max', params.one('size_max')) ?? exactSize,
    md5: params.one('checksum'),
    sha256: params.one('os_hash_value'),
    tags: params.all('tag', conditionsMax).map((tag) => tag.trim()),
    createdAt: comparisons('created_at', params.all('created_at', comparisonsMax)),
    updatedAt: comparisons('updated_at', params.all('updated_at', comparisonsMax)),
  }
  query.properties = customProperties(params.rest())
  return query
}

function customProperties(rest: Map<string, string[]>): Record<string, string> | undefined {
  const properties: [string, string][] = []
  for (const [name, values] of rest) {
    if (baseFields.has(name)) throw new GlanceFault(400, `Images cannot be filtered by '${name}'.`)
    if (values.length > 1) throw new GlanceFault(400, `Invalid filter '${name}': expected one, got ${values.length}.`)
    properties.push([name, values[0] as string])
  }
  if (properties.length > conditionsMax)
    throw new GlanceFault(
      400,
      `Invalid filters: expected at most ${conditionsMax} properties, got ${properties.length}.`,
    )
  return properties.length > 0 ? Object.fromEntries(properties) : undefined
}

function parseSort(combined: string | undefined, keys: string[], directions: string[]): ImageQuery['sort'] {
  if (combined !== undefined) {
    if (keys.length > 0 || directions.length > 0)
      throw new GlanceFault(400, 'Old and new sorting syntax cannot be combined')
    const parts = combined.trim().split(',')
    if (parts.length > sortsMax)
      throw new GlanceFault(400, `Invalid sort: expected at most ${sortsMax} keys, got ${parts.length}.`)
    return parts.map((part) => {
      const [key = '', direction = 'desc'] = part.split(':')
      return { key: sortKey(key), direction: sortDirection(direction) }
    })
  }
  if (directions.length > 1 && directions.length !== keys.length)
    throw new GlanceFault(400, 'Number of sort dirs does not match the number of sort keys')
  return (keys.length > 0 ? keys : ['created_at']).map((key, i) => ({
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
  if (!value.startsWith('in:')) return [value]
  const values = splitChoices(value.slice(3))
  if (values === undefined)
    throw new GlanceFault(400, `Invalid filter value ${value.slice(3)}. The quote is not closed.`)
  if (values.length > choicesMax)
    throw new GlanceFault(400, `Invalid filter value: expected at most ${choicesMax} values, got ${values.length}.`)
  return values
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

/** Paging and order of block storage lists (cinder/api/common): limit, marker, offset, sort or sort_key and sort_dir. */

import { badRequest } from '../errors.js'
import { since } from '../microversion.js'
import { flagOf } from './validation.js'

/** More than there are columns to order by. */
const sortKeysMax = 12

/** What one answer holds at most (Cinder's osapi_max_limit). */
export const limitMax = 1000

interface SortOrder<Key extends string> {
  key: Key
  direction: 'asc' | 'desc'
}

export interface ListParams<Key extends string> {
  limit: number
  marker: string | undefined
  offset: number
  sort: SortOrder<Key>[]
  /** Administrators only; from others it is ignored. */
  allTenants: boolean
  /** Answer the number of all matches too. */
  withCount: boolean
  /** The remaining parameters: filters. */
  filters: Map<string, string>
}

export type RawQuery = Record<string, string | string[] | undefined>

/** `keys`: how clients call the columns that can be sorted by, and what core calls them. Throws 400. */
export function parseListParams<Key extends string>(
  raw: RawQuery,
  keys: Record<string, Key>,
  microversion: number,
): ListParams<Key> {
  const filters = new Map<string, string>()
  for (const [name, value] of Object.entries(raw)) {
    const last = Array.isArray(value) ? value.at(-1) : value
    if (last !== undefined) filters.set(name, last)
  }
  const take = (name: string): string | undefined => {
    const value = filters.get(name)
    filters.delete(name)
    return value
  }
  const sort = take('sort')
  const [sortKey, sortDirection] = [take('sort_key'), take('sort_dir')]
  if (sort !== undefined && (sortKey !== undefined || sortDirection !== undefined))
    throw badRequest(
      "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.",
    )
  return {
    limit: Math.min(wholeNumber('limit', take('limit')) ?? limitMax, limitMax),
    marker: take('marker'),
    offset: wholeNumber('offset', take('offset')) ?? 0,
    sort: parseSort(
      sort ??
        (sortKey === undefined && sortDirection === undefined
          ? undefined
          : `${sortKey ?? 'created_at'}:${sortDirection ?? 'desc'}`),
      keys,
    ),
    allTenants: isAllTenants(take('all_tenants')),
    withCount: isWithCount(take('with_count'), microversion),
    filters,
  }
}

function wholeNumber(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!/^-?\d{1,10}$/.test(value)) throw badRequest(`${name} param must be an integer`)
  if (Number(value) < 0) throw badRequest(`${name} param must be positive`)
  return Number(value)
}

function parseSort<Key extends string>(text: string | undefined, keys: Record<string, Key>): SortOrder<Key>[] {
  if (text === undefined) return []
  const parts = text.split(',')
  if (parts.length > sortKeysMax)
    throw badRequest(`Invalid sort: expected at most ${sortKeysMax} keys, got ${parts.length}.`)
  return parts.map((part) => {
    const [name = '', direction = 'desc'] = part.trim().split(':')
    const key = Object.hasOwn(keys, name) ? keys[name] : undefined
    if (key === undefined) throw badRequest(`Sort key supplied is not valid: '${name}'.`)
    if (direction !== 'asc' && direction !== 'desc')
      throw badRequest(`Invalid sort direction: '${direction}'. It must be 'asc' or 'desc'.`)
    return { key, direction }
  })
}

/** The value of a filter that goes by two names. Throws 400 when both are given and differ. */
export function eitherOf(filters: ReadonlyMap<string, string>, name: string, alias: string): string | undefined {
  const [value, other] = [filters.get(name), filters.get(alias)]
  if (value !== undefined && other !== undefined && value !== other)
    throw badRequest(`Invalid filters: ${name} and ${alias} are the same filter and have different values.`)
  return value ?? other
}

function isWithCount(value: string | undefined, microversion: number): boolean {
  const flag = value === undefined ? false : flagOf(value)
  if (flag === undefined) throw badRequest(`with_count param must be a boolean; it is '${value}'`)
  if (flag && microversion < since.count) throw badRequest('with_count needs microversion 3.45 or above.')
  return flag
}

/** `?all_tenants` without a value means yes. */
function isAllTenants(value: string | undefined): boolean {
  if (value === undefined) return false
  if (value === '') return true
  const flag = flagOf(value)
  if (flag === undefined && !/^\d+$/.test(value))
    throw badRequest(`all_tenants param must be a boolean; it is '${value}'`)
  return flag ?? Number(value) > 0
}

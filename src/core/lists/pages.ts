/** Sorted pages of volumes, snapshots, attachments and images. */

import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { behind, markerValues, type Sort } from '../../catalog/paging.js'
import type { Schema } from '../../catalog/schema.js'
import type { DefinedError } from '../../lib/errors.js'
import type { Page } from '../model/records.js'

/** A column that may be null sorts as this instead. */
export const column = (name: string): RawBuilder<unknown> => sql`${sql.ref(name)}`
export const textOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, '')`
export const numberOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, -1)`

const rowsMax = 10_000

export interface PageOptions<Key extends string> {
  page: Page<string, Key>
  keys: Record<Key, RawBuilder<unknown>>
  /** Thrown when the caller sees no such marker. */
  notFound: DefinedError
}

/** A page of a list. Its order is that of one moment; each slice shows its things as they are when it is read. */
export interface PageOf<Item> {
  /** There is more behind the page. */
  more: boolean
  slices: AsyncIterable<Item[]>
}

/**
 * Adds order, marker, limit and offset to a query that has its filters, and returns the ids of the page. `visible`: what the caller may
 * see, without the filters; the marker must be there.
 */
export async function idsOfPage<Id extends string, Table extends keyof Schema, Row, Key extends string>(
  filtered: SelectQueryBuilder<Schema, Table, Row>,
  visible: SelectQueryBuilder<Schema, Table, Row>,
  { page, keys, notFound }: PageOptions<Key>,
): Promise<{ ids: Id[]; more: boolean }> {
  const sorts = sortsOf(page, keys)
  const limit = Math.min(page.limit ?? rowsMax, rowsMax)
  let sorted = filtered.select('id' as never).limit(limit + 1)
  for (const { expression, direction } of sorts) sorted = sorted.orderBy(expression as never, direction)
  if (page.marker !== undefined) {
    const values = await markerValues(visible, page.marker, sorts)
    if (values === undefined) throw new notFound(page.marker)
    sorted = sorted.where(behind(sorts, values))
  }
  if (page.offset) sorted = sorted.offset(page.offset)
  const ids = ((await sorted.execute()) as unknown as { id: Id }[]).map(({ id }) => id)
  return { ids: ids.slice(0, limit), more: ids.length > limit }
}

/** What was asked for, then the age, then the id: no two rows are equal. Newest first by default. */
function sortsOf<Key extends string>(page: Page<string, Key>, keys: Record<Key, RawBuilder<unknown>>): Sort[] {
  const asked: Sort[] = (page.sort ?? []).map(({ key, direction }) => ({ expression: keys[key], direction }))
  const direction = asked.at(-1)?.direction ?? 'desc'
  return [...asked, { expression: column('created_at'), direction }, { expression: column('id'), direction }]
}

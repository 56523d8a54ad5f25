/** Sorted pages of volumes, snapshots, attachments and images. */

import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { Reader } from '../catalog/catalog.js'
import { behind, markerValues, type Sort } from '../catalog/paging.js'
import type { Schema } from '../catalog/schema.js'
import type { DefinedError } from '../lib/errors.js'
import type { Page } from './records.js'

/** A column that may be null sorts as this instead. */
export const column = (name: string): RawBuilder<unknown> => sql`${sql.ref(name)}`
export const textOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, '')`
export const numberOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, -1)`

const rowsMax = 10_000

export interface PageOptions<Key extends string> {
  table: 'volumes' | 'snapshots' | 'attachments' | 'images'
  page: Page<string, Key>
  keys: Record<Key, RawBuilder<unknown>>
  /** Thrown when the marker is not there. */
  notFound: DefinedError
}

/** Adds order, marker, limit and offset to a query that has its filters. */
export async function paged<Table extends keyof Schema, Row, Key extends string>(
  db: Reader,
  query: SelectQueryBuilder<Schema, Table, Row>,
  { table, page, keys, notFound }: PageOptions<Key>,
): Promise<Row[]> {
  const sorts = sortsOf(page, keys)
  let sorted = query
  for (const { expression, direction } of sorts) sorted = sorted.orderBy(expression as never, direction)
  if (page.marker !== undefined) {
    const values = await markerValues(db, table, page.marker, sorts)
    if (values === undefined) throw new notFound(page.marker)
    sorted = sorted.where(behind(sorts, values))
  }
  sorted = sorted.limit(Math.min(page.limit ?? rowsMax, rowsMax))
  if (page.offset) sorted = sorted.offset(page.offset)
  return (await sorted.execute()) as Row[]
}

/** What was asked for, then the age, then the id: no two rows are equal. Newest first by default. */
function sortsOf<Key extends string>(page: Page<string, Key>, keys: Record<Key, RawBuilder<unknown>>): Sort[] {
  const asked: Sort[] = (page.sort ?? []).map(({ key, direction }) => ({ expression: keys[key], direction }))
  const direction = asked.at(-1)?.direction ?? 'desc'
  return [...asked, { expression: column('created_at'), direction }, { expression: column('id'), direction }]
}

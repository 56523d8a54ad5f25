/** Sorted pages of volumes, snapshots, attachments and images. */

import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { behind, markerValues, type Sort } from '../../catalog/paging.js'
import type { Schema } from '../../catalog/schema.js'
import type { DefinedError } from '../../lib/errors.js'
import type { Page } from '../model/records.js'
import { loadInSlices, type SlicePace } from './slices.js'

/** A column that may be null sorts as this instead. */
export const column = (name: string): RawBuilder<unknown> => sql`${sql.ref(name)}`
export const textOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, '')`
export const numberOr = (name: string): RawBuilder<unknown> => sql`coalesce(${sql.ref(name)}, -1)`

const rowsMax = 10_000
/** Rows of the first slice: a page that has no more is read by one statement. */
const firstRowsMax = 16

export interface PageOptions<Row extends { id: string }, Key extends string, Item> {
  page: Page<string, Key>
  keys: Record<Key, RawBuilder<unknown>>
  /** Thrown when the caller sees no such marker. */
  notFound: DefinedError
  pace: SlicePace
  /** In any order; some may be left out. */
  load: (rows: Row[]) => Promise<Item[]>
  /** The bytes of what each carries beside its row. */
  weigh: (ids: Row['id'][]) => Promise<ReadonlyMap<Row['id'], number>>
}

/** A page of a list. Its order is that of one moment; each slice shows its things as they are when it is read. */
export interface PageOf<Item> {
  /** There is more behind the page. */
  more: boolean
  slices: AsyncIterable<Item[]>
}

/**
 * Adds order, marker, limit and offset to a query that has its filters, and reads the page. `visible`: what the caller may see, without
 * the filters; the marker must be there.
 */
export async function pageOf<
  Row extends { id: string },
  Table extends keyof Schema,
  Key extends string,
  Item extends { id: Row['id'] },
>(
  filtered: SelectQueryBuilder<Schema, Table, object>,
  visible: SelectQueryBuilder<Schema, Table, object>,
  options: PageOptions<Row, Key, Item>,
): Promise<PageOf<Item>> {
  const { page, keys, notFound, pace, load, weigh } = options
  const sorts = sortsOf(page, keys)
  const limit = Math.min(page.limit ?? rowsMax, rowsMax)
  let sorted = filtered
  for (const { expression, direction } of sorts) sorted = sorted.orderBy(expression as never, direction)
  if (page.marker !== undefined) {
    const values = await markerValues(visible, page.marker, sorts)
    if (values === undefined) throw new notFound(page.marker)
    sorted = sorted.where(behind(sorts, values))
  }
  if (page.offset) sorted = sorted.offset(page.offset)

  const firstRows = Math.min(limit, firstRowsMax)
  const first = (await sorted
    .selectAll()
    .limit(firstRows + 1)
    .execute()) as unknown as Row[]
  let ids = first.map(({ id }) => id)
  if (ids.length > firstRows && limit > firstRows) {
    const rows = await sorted
      .select('id' as never)
      .limit(limit + 1)
      .execute()
    ids = (rows as unknown as { id: Row['id'] }[]).map(({ id }) => id)
  }
  // For the first slice only: the next ones are read later.
  let known: Map<Row['id'], Row> | undefined = new Map(first.map((row) => [row.id, row]))
  const rowsOf = async (some: Row['id'][]): Promise<Row[]> => {
    const rows = some.flatMap((id) => known?.get(id) ?? [])
    known = undefined
    if (rows.length === some.length) return rows
    // Filtered again: a thing may have been withdrawn from the caller meanwhile.
    return (await filtered
      .selectAll()
      .where('id' as never, 'in', some as never)
      .execute()) as unknown as Row[]
  }
  const loading = { load: async (some: Row['id'][]) => load(await rowsOf(some)), weigh }
  return { more: ids.length > limit, slices: loadInSlices<Row['id'], Item>(ids.slice(0, limit), pace, loading) }
}

/** What was asked for, then the age, then the id: no two rows are equal. Newest first by default. */
function sortsOf<Key extends string>(page: Page<string, Key>, keys: Record<Key, RawBuilder<unknown>>): Sort[] {
  const asked: Sort[] = (page.sort ?? []).map(({ key, direction }) => ({ expression: keys[key], direction }))
  const direction = asked.at(-1)?.direction ?? 'desc'
  return [...asked, { expression: column('created_at'), direction }, { expression: column('id'), direction }]
}

/**
 * Pages of a list that is sorted by several columns: a page begins behind the row that the client saw last.
 *
 * The columns of that row are compared as a tuple with mixed directions, written out, because SQL's row values know one
 * direction only. Databases differ on where nulls sort, so every sort expression must be one that is never null (`coalesce`).
 */

import { type RawBuilder, type SelectQueryBuilder, type SqlBool, sql } from 'kysely'
import type { Schema } from './schema.js'

export type Direction = 'asc' | 'desc'

export interface Sort {
  /** Never null. */
  expression: RawBuilder<unknown>
  direction: Direction
}

type Value = string | number

/**
 * Returns the values of the sort expressions in the row with this id; undefined: there is no such row. `rows` are those that the caller
 * may see, without the filters of the list: whether a row exists that the caller may not see, and where it sorts, is not for the caller.
 */
export async function markerValues<Table extends keyof Schema, Row>(
  rows: SelectQueryBuilder<Schema, Table, Row>,
  id: string,
  sorts: readonly Sort[],
): Promise<Value[] | undefined> {
  const columns = sorts.map(({ expression }, index) => expression.as(`k${index}`))
  const row = (await rows
    .select(columns as never)
    .where('id' as never, '=', id as never)
    .executeTakeFirst()) as Record<string, Value> | undefined
  return row && sorts.map((_, index) => row[`k${index}`] as Value)
}

/** (a > x) or (a = x and b < y) or …, by the directions. */
export function behind(sorts: readonly Sort[], values: readonly Value[]): RawBuilder<SqlBool> {
  const alternatives = sorts.map(({ expression, direction }, index) => {
    const equal = sorts.slice(0, index).map((before, i) => sql`${before.expression} = ${values[i]}`)
    const beyond = direction === 'asc' ? sql`>` : sql`<`
    return sql`(${sql.join([...equal, sql`${expression} ${beyond} ${values[index]}`], sql` and `)})`
  })
  const [first] = sorts
  // Says nothing new, but an index can begin there.
  const bound = first && sql`${first.expression} ${first.direction === 'asc' ? sql`>=` : sql`<=`} ${values[0]}`
  return sql<SqlBool>`(${bound ? sql`${bound} and ` : sql``}(${sql.join(alternatives, sql` or `)}))`
}

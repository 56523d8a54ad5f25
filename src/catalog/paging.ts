/**
 * Pages of a list that is sorted by several columns: a page begins behind the row that the client saw last.
 *
 * The columns of that row are compared as a tuple with mixed directions, written out, because SQL's row values know one
 * direction only. A null sorts as if it were the smallest value everywhere (databases differ on that), so every sort
 * expression must be one that is never null (`coalesce`).
 */

import { type RawBuilder, type SqlBool, sql } from 'kysely'

export type Direction = 'asc' | 'desc'

export interface SortBy {
  /** Never null. */
  expression: RawBuilder<unknown>
  direction: Direction
  /** Its value in the row behind which the page begins. */
  marker?: string | number | undefined
}

/** (a > x) or (a = x and b < y) or …, by the directions. */
export function behind(sorts: readonly SortBy[]): RawBuilder<SqlBool> {
  const alternatives = sorts.map((sort, index) => {
    const equal = sorts.slice(0, index).map((before) => sql`${before.expression} = ${before.marker}`)
    const beyond = sort.direction === 'asc' ? sql`>` : sql`<`
    return sql`(${sql.join([...equal, sql`${sort.expression} ${beyond} ${sort.marker}`], sql` and `)})`
  })
  return sql<SqlBool>`(${sql.join(alternatives, sql` or `)})`
}

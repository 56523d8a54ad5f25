/** The rows of a listing by name (listing.ts): one prepared statement for each combination of bounds. */

import { type RawBuilder, sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import type { Schema } from '../../catalog/schema.js'
import { Prepared, type Value } from '../../catalog/prepared.js'
import type { NameBounds } from './listing.js'

export class NamedRows<Table extends keyof Schema & string, Column extends keyof Schema[Table] & string> {
  readonly #table: Table
  readonly #owner: string
  readonly #columns: readonly Column[]
  readonly #statements = new Map<string, Prepared<Pick<Schema[Table], Column>, Value[]>>()

  readonly #expires: boolean

  /** `owner`: the column of whose rows are listed. `expires`: those whose `expires_at` has come are left out. */
  constructor(
    table: Table,
    owner: keyof Schema[Table] & string,
    columns: readonly Column[],
    { expires = false }: { expires?: boolean } = {},
  ) {
    this.#expires = expires
    this.#table = table
    this.#owner = owner
    this.#columns = columns
  }

  /** `now` counts only where rows expire. */
  async fetch(db: Reader, owner: string, bounds: NameBounds, now = 0): Promise<Pick<Schema[Table], Column>[]> {
    const { above, from, below, reverse, limit } = bounds
    const conditions = [
      ...(above === undefined ? [] : ([['>', above]] as const)),
      ...(from === undefined ? [] : ([['>=', from]] as const)),
      ...(below === undefined ? [] : ([['<', below]] as const)),
    ]
    const operators = conditions.map(([operator]) => operator)
    const names = conditions.map(([, name]) => name)
    const times = this.#expires ? [now] : []
    return this.#statement(operators, reverse).all(db, owner, ...names, ...times, limit)
  }

  #statement(operators: readonly ('>' | '>=' | '<')[], reverse: boolean) {
    const key = `${operators.join(' ')} ${reverse}`
    const known = this.#statements.get(key)
    if (known !== undefined) return known
    const bounds = operators.map((operator): RawBuilder<unknown> => sql` and name ${sql.raw(operator)} ${''}`)
    const living = this.#expires ? sql` and (expires_at is null or expires_at > ${0})` : sql``
    const made = new Prepared<Pick<Schema[Table], Column>, Value[]>((db) =>
      sql<Pick<Schema[Table], Column>>`select ${sql.join(this.#columns.map((name) => sql.ref(name)))}
        from ${sql.table(this.#table)} where ${sql.ref(this.#owner)} = ${''}${sql.join(bounds, sql``)}${living}
        order by name ${reverse ? sql`desc` : sql`asc`} limit ${1}`.compile(db),
    )
    this.#statements.set(key, made)
    return made
  }
}

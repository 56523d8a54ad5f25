/** Statements about several things at once (`id in (…)`), prepared like those of prepared.ts. */

import type { CompiledQuery } from 'kysely'
import type { Reader } from './types.js'
import { Prepared } from './prepared.js'

const idsMax = 256

export class PreparedIn<Row, Id extends string> {
  readonly #build: (db: Reader, ids: readonly Id[]) => CompiledQuery<Row>
  /** By the number of their parameters: a power of two, so that there are few of them. */
  readonly #statements = new Map<number, Prepared<Row, Id[]>>()

  /** `build`: the query for these ids; they are its only parameters. */
  constructor(build: (db: Reader, ids: readonly Id[]) => CompiledQuery<Row>) {
    this.#build = build
  }

  /** The rows of up to 256 ids in the order of the query, then those of the next ones. */
  async all(db: Reader, ids: readonly Id[]): Promise<Row[]> {
    if (ids.length <= idsMax) return this.#some(db, ids)
    const rows: Row[] = []
    for (let i = 0; i < ids.length; i += idsMax) rows.push(...(await this.#some(db, ids.slice(i, i + idsMax))))
    return rows
  }

  async #some(db: Reader, ids: readonly Id[]): Promise<Row[]> {
    const last = ids.at(-1)
    if (last === undefined) return []
    const places = 2 ** Math.ceil(Math.log2(ids.length))
    let statement = this.#statements.get(places)
    if (statement === undefined) {
      statement = new Prepared((reader) =>
        this.#build(
          reader,
          Array.from({ length: places }, () => last),
        ),
      )
      this.#statements.set(places, statement)
    }
    // An id that is repeated changes nothing.
    const padding = Array.from({ length: places - ids.length }, () => last)
    return statement.all(db, ...ids, ...padding)
  }
}

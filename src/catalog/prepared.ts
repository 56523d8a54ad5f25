/**
 * Queries of every request, compiled once: to put one together takes Kysely longer than it takes SQLite to run it.
 *
 * `build` makes the query with any values where the parameters go; the values of a run take their places, in the order of the
 * query's text.
 */

import type { CompiledQuery } from 'kysely'
import type { Reader } from './catalog.js'

export class Prepared<Row, Parameters extends readonly (string | number)[]> {
  readonly #build: (db: Reader) => CompiledQuery<Row>
  #compiled: CompiledQuery<Row> | undefined

  constructor(build: (db: Reader) => CompiledQuery<Row>) {
    this.#build = build
  }

  async all(db: Reader, ...parameters: Parameters): Promise<Row[]> {
    this.#compiled ??= this.#build(db)
    const { parameters: places } = this.#compiled
    if (places.length !== parameters.length)
      throw new Error(`a prepared query takes ${places.length} parameters, not ${parameters.length}`)
    const { rows } = await db.executeQuery<Row>({ ...this.#compiled, parameters })
    return rows
  }

  async first(db: Reader, ...parameters: Parameters): Promise<Row | undefined> {
    return (await this.all(db, ...parameters))[0]
  }
}

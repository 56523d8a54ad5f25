/**
 * Queries that nearly every request asks: built once, and prepared once for each connection. Kysely's own way (build, compile, await a
 * driver) costs several times what such a query takes in SQLite.
 *
 * A query is built with examples where its parameters go; the values of a run take their places, in the order of the query's text.
 *
 * The result is a promise, and between two queries anybody may commit. What must be of one moment is read by one query, or in a transaction.
 */

import { type CompiledQuery, sql } from 'kysely'
import type { Schema } from './schema.js'
import type { Reader } from './types.js'

/** What a parameter of a query may be. */
export type Value = string | number | bigint | null

/** A statement that one connection keeps prepared. */
export interface KeptStatement {
  rows(parameters: readonly Value[]): Promise<unknown[]>
  /** The first row, undefined if there is none. */
  first(parameters: readonly Value[]): Promise<unknown>
  /** Resolves to the number of rows that were inserted, updated or deleted. */
  run(parameters: readonly Value[]): Promise<number>
}

/** A connection to any database. */
export interface PreparingConnection {
  keep(sql: string): KeptStatement
}

const connections = new WeakMap<Reader, PreparingConnection>()

/** Which connection a Reader asks: for a transaction, only while it lasts. */
export function connect(db: Reader, connection: PreparingConnection): void {
  connections.set(db, connection)
}

export function disconnect(db: Reader): void {
  connections.delete(db)
}

export class Prepared<Row, Parameters extends readonly Value[]> {
  readonly #build: (db: Reader) => CompiledQuery<Row>
  readonly #statements = new WeakMap<PreparingConnection, { statement: KeptStatement; places: number }>()

  constructor(build: (db: Reader) => CompiledQuery<Row>) {
    this.#build = build
  }

  // No `async` here: nearly every request runs several of these, and each further promise costs it about 1 % of a small GET.

  all(db: Reader, ...parameters: Parameters): Promise<Row[]> {
    return this.#on(db, parameters, (statement) => statement.rows(parameters)) as Promise<Row[]>
  }

  first(db: Reader, ...parameters: Parameters): Promise<Row | undefined> {
    return this.#on(db, parameters, (statement) => statement.first(parameters)) as Promise<Row | undefined>
  }

  /** For a statement that returns no rows. Resolves to the number of rows that it changed. */
  run(db: Reader, ...parameters: Parameters): Promise<number> {
    return this.#on(db, parameters, (statement) => statement.run(parameters))
  }

  #on<T>(db: Reader, parameters: Parameters, ask: (statement: KeptStatement) => Promise<T>): Promise<T> {
    try {
      return ask(this.#statement(db, parameters))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #statement(db: Reader, parameters: Parameters): KeptStatement {
    const connection = connections.get(db)
    if (connection === undefined) throw new Error('neither the catalog nor a transaction that is under way')
    let known = this.#statements.get(connection)
    if (known === undefined) {
      const query = this.#build(db)
      known = { statement: connection.keep(query.sql), places: query.parameters.length }
      this.#statements.set(connection, known)
    }
    if (known.places !== parameters.length)
      throw new Error(`a prepared query takes ${known.places} parameters, not ${parameters.length}`)
    return known.statement
  }
}

/** The insert of one row that has a value for each of these columns. */
export class PreparedInsert<Table extends keyof Schema & string> {
  readonly #columns: readonly (keyof Schema[Table] & string)[]
  readonly #statement: Prepared<never, Value[]>

  constructor(table: Table, columns: readonly (keyof Schema[Table] & string)[]) {
    this.#columns = columns
    this.#statement = new Prepared((db) =>
      sql<never>`insert into ${sql.table(table)} (${sql.join(columns.map((name) => sql.ref(name)))})
        values (${sql.join(columns)})`.compile(db),
    )
  }

  async run(db: Reader, row: Schema[Table]): Promise<void> {
    await this.#statement.run(db, ...this.#columns.map((name) => row[name] as Value))
  }
}

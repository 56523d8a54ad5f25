/**
 * Statements of every request: compiled and prepared once, and run at once.
 *
 * To put a query together takes Kysely longer than it takes SQLite to run it, and so do the promises through which Kysely asks.
 * better-sqlite3 answers in the same moment, so these do too: what is read by several of them without an `await` in between is of
 * one moment, as far as this process goes. (A catalog behind a network would make promises of them. The functions of the core are
 * asynchronous already.)
 *
 * `build` makes the query with any values where the parameters go; the values of a run take their places, in the order of the
 * query's text.
 */

import type { RunResult, Statement } from 'better-sqlite3'
import { type CompiledQuery, sql } from 'kysely'
import type { Reader } from '../types.js'
import type { Schema } from '../schema.js'
import type { SqliteConnection, Value } from './dialect.js'

const connections = new WeakMap<Reader, SqliteConnection>()

/** Which connection a Reader asks: for a transaction, only while it lasts. */
export function connect(db: Reader, connection: SqliteConnection): void {
  connections.set(db, connection)
}

export function disconnect(db: Reader): void {
  connections.delete(db)
}

export class Prepared<Row, Parameters extends readonly Value[]> {
  readonly #build: (db: Reader) => CompiledQuery<Row>
  readonly #statements = new WeakMap<SqliteConnection, { statement: Statement; places: number }>()

  constructor(build: (db: Reader) => CompiledQuery<Row>) {
    this.#build = build
  }

  all(db: Reader, ...parameters: Parameters): Row[] {
    const connection = connectionOf(db)
    return connection.rows<Row>(this.#on(connection, db, parameters), parameters)
  }

  first(db: Reader, ...parameters: Parameters): Row | undefined {
    return this.all(db, ...parameters)[0]
  }

  /** Of a statement that answers no rows. */
  run(db: Reader, ...parameters: Parameters): RunResult {
    const connection = connectionOf(db)
    return connection.run(this.#on(connection, db, parameters), parameters)
  }

  #on(connection: SqliteConnection, db: Reader, parameters: Parameters): Statement {
    let known = this.#statements.get(connection)
    if (known === undefined) {
      const query = this.#build(db)
      known = { statement: connection.prepareApart(query.sql), places: query.parameters.length }
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

  run(db: Reader, row: Schema[Table]): void {
    this.#statement.run(db, ...this.#columns.map((name) => row[name] as Value))
  }
}

function connectionOf(db: Reader): SqliteConnection {
  const connection = connections.get(db)
  if (connection === undefined) throw new Error('neither the catalog nor a transaction that is under way')
  return connection
}

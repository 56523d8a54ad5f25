/**
 * Kysely over one better-sqlite3 connection.
 *
 * better-sqlite3 is synchronous: a query runs, and blocks the event loop, within `run`. Kysely's transactions are
 * asynchronous: between two queries of one, anything else may run. So that nothing of another transaction comes in
 * between, a connection is given out to one user at a time, in the order of asking, and a transaction is one user.
 *
 * Transactions start with BEGIN IMMEDIATE: one that begins by reading and then writes could not be finished if another
 * process had written meanwhile (SQLITE_BUSY_SNAPSHOT), and waiting at the start is what busy_timeout does well.
 */

import type { Database, RunResult, Statement } from 'better-sqlite3'
import {
  CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { Mutex, type Release } from '../../lib/mutex.js'
import { CatalogBusy, CatalogFailed, CatalogFull } from '../errors.js'
import type { KeptStatement, PreparingConnection, Value } from '../prepared.js'

export class SerialSqliteDialect implements Dialect {
  readonly #connection: SqliteConnection

  constructor(connection: SqliteConnection) {
    this.#connection = connection
  }

  createDriver(): Driver {
    return new SerialDriver(this.#connection)
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter()
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new SqliteIntrospector(db)
  }
}

class SerialDriver implements Driver {
  readonly #connection: SqliteConnection
  readonly #turn = new Mutex()
  #release: Release | undefined

  constructor(connection: SqliteConnection) {
    this.#connection = connection
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    this.#release = await this.#turn.lock()
    return this.#connection
  }

  async releaseConnection(): Promise<void> {
    this.#release?.()
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // A full disk and a failed write end a transaction by themselves (sqlite.org/lang_transaction.html, "Response To Errors").
    if (this.#connection.inTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'))
  }

  async destroy(): Promise<void> {
    this.#connection.close()
  }
}

const statementsMax = 256

export class SqliteConnection implements DatabaseConnection, PreparingConnection {
  readonly #database: Database
  readonly #beforeQuery: () => void
  /** Prepared statements by their text, least recently used first. */
  readonly #statements = new Map<string, Statement>()

  /** `beforeQuery` may refuse a query by throwing. */
  constructor(database: Database, beforeQuery: () => void = () => undefined) {
    this.#database = database
    this.#beforeQuery = beforeQuery
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction
  }

  /** Idempotent. */
  close(): void {
    this.#database.close()
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const statement = this.prepare(sql)
    if (statement.reader) return { rows: this.#rowsNow(statement, parameters as Value[]) as Row[] }
    const { changes, lastInsertRowid } = this.runNow(statement, parameters as Value[])
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }

  /** Past Kysely: see prepared.ts. */
  keep(sql: string): KeptStatement {
    const statement = this.#prepareApart(sql)
    return {
      rows: async (parameters) => this.#rowsNow(statement, parameters),
      first: async (parameters) => this.#firstNow(statement, parameters),
      run: async (parameters) => this.runNow(statement, parameters).changes,
    }
  }

  #rowsNow(statement: Statement, parameters: readonly Value[]): unknown[] {
    this.#beforeQuery()
    try {
      return statement.all(parameters)
    } catch (error) {
      throw translated(error)
    }
  }

  #firstNow(statement: Statement, parameters: readonly Value[]): unknown {
    this.#beforeQuery()
    try {
      return statement.get(parameters)
    } catch (error) {
      throw translated(error)
    }
  }

  /** Runs a statement that returns no rows. */
  runNow(statement: Statement, parameters: readonly Value[]): RunResult {
    this.#beforeQuery()
    try {
      return statement.run(parameters)
    } catch (error) {
      throw translated(error)
    }
  }

  // biome-ignore lint/correctness/useYield: Kysely asks for a generator; nothing here streams
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('the catalog does not stream: page through the rows instead')
  }

  /** The statement, from those that are kept for the next time. */
  prepare(sql: string): Statement {
    const known = this.#statements.get(sql)
    if (known !== undefined) {
      this.#statements.delete(sql)
      this.#statements.set(sql, known)
      return known
    }
    const statement = this.#prepareApart(sql)
    this.#statements.set(sql, statement)
    if (this.#statements.size > statementsMax) {
      const oldest = this.#statements.keys().next()
      if (!oldest.done) this.#statements.delete(oldest.value)
    }
    return statement
  }

  #prepareApart(sql: string): Statement {
    try {
      return this.#database.prepare(sql)
    } catch (error) {
      throw translated(error)
    }
  }
}

/** Conditions of the world become errors of the catalogue; a broken constraint or query is our own bug and stays as it is. */
export function translated(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code !== 'string') return error
  // SHMSIZE: there is no room for the index of the write-ahead log (the -shm file).
  if (code.startsWith('SQLITE_FULL') || code === 'SQLITE_IOERR_SHMSIZE') return new CatalogFull({ cause: error })
  if (code.startsWith('SQLITE_BUSY') || code === 'SQLITE_LOCKED') return new CatalogBusy({ cause: error })
  if (/^SQLITE_(IOERR|CORRUPT|NOTADB|READONLY|CANTOPEN)/.test(code)) {
    return new CatalogFailed((error as Error).message, { cause: error })
  }
  return error
}

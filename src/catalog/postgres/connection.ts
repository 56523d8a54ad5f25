/** Kysely over the connections of a pool, and prepared statements on them. */

import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import type { Pool, PoolClient, QueryArrayResult, QueryConfig, QueryResult as PgResult } from 'pg'
import { CatalogAway } from '../errors.js'
import type { KeptStatement, PreparingConnection, Value } from '../prepared.js'
import { isConflict, translated } from './translate.js'

/** Whether the transaction with this ID was committed. */
export type Outcome = (transaction: string) => Promise<boolean>

export interface PoolParts {
  pool: Pool
  /** Called before each query that is not part of a transaction; may refuse it by throwing. */
  beforeRead(): void
  outcomeOf: Outcome
}

export class PooledDialect implements Dialect {
  readonly #parts: PoolParts

  constructor(parts: PoolParts) {
    this.#parts = parts
  }

  createDriver(): Driver {
    return new PooledDriver(this.#parts)
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter()
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db)
  }
}

class PooledDriver implements Driver {
  readonly #parts: PoolParts
  readonly #connections = new WeakMap<PoolClient, PostgresConnection>()

  constructor(parts: PoolParts) {
    this.#parts = parts
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PostgresConnection> {
    this.#parts.beforeRead()
    const client = await connected(this.#parts.pool)
    let connection = this.#connections.get(client)
    if (connection === undefined) {
      connection = new PostgresConnection(client)
      this.#connections.set(client, connection)
    }
    return connection
  }

  async releaseConnection(connection: PostgresConnection): Promise<void> {
    connection.release()
  }

  async beginTransaction(connection: PostgresConnection, settings: TransactionSettings): Promise<void> {
    await connection.begin(settings)
  }

  /** A connection that is lost while it commits says nothing about the outcome: the database is asked, when it is back. */
  async commitTransaction(connection: PostgresConnection): Promise<void> {
    try {
      await connection.commit()
    } catch (error) {
      if (!(error instanceof CatalogAway) || !(await this.#parts.outcomeOf(connection.transactionId))) throw error
    }
  }

  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    await connection.rollback()
  }

  async destroy(): Promise<void> {
    await this.#parts.pool.end()
  }
}

async function connected(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw translated(error)
  }
}

/**
 * Names of statements by their text. The database server keeps a named statement for each connection, so their number is bounded;
 * statements beyond it have no name and are prepared at each use.
 */
const names = new Map<string, string>()
const namesMax = 500

function named(text: string): { text: string; name?: string } {
  let name = names.get(text)
  if (name === undefined) {
    if (names.size >= namesMax) return { text }
    name = `atoll_${names.size}`
    names.set(text, name)
  }
  return { text, name }
}

type Ask = (query: QueryConfig) => Promise<PgResult<Record<string, unknown>>>

function kept(text: string, ask: Ask): KeptStatement {
  const query = named(text)
  const run = (values: readonly Value[]) => ask({ ...query, values: [...values] })
  return {
    rows: async (values) => (await run(values)).rows,
    first: async (values) => (await run(values)).rows[0],
    run: async (values) => (await run(values)).rowCount ?? 0,
  }
}

/** For queries outside of transactions: each takes any connection. */
export class PooledStatements implements PreparingConnection {
  readonly #parts: PoolParts

  constructor(parts: PoolParts) {
    this.#parts = parts
  }

  keep(text: string): KeptStatement {
    const { pool, beforeRead } = this.#parts
    return kept(text, async (query) => {
      beforeRead()
      try {
        return await pool.query(query)
      } catch (error) {
        throw translated(error)
      }
    })
  }
}

export class PostgresConnection implements DatabaseConnection, PreparingConnection {
  readonly #client: PoolClient
  #lost: Error | undefined
  #transactionId = ''
  /** Why the transaction can only be rolled back. */
  #failure: unknown

  constructor(client: PoolClient) {
    this.#client = client
  }

  /** Of the transaction that was begun last. */
  get transactionId(): string {
    return this.#transactionId
  }

  /** Back to the pool, which ends it when it is lost. */
  release(): void {
    this.#client.release(this.#lost)
  }

  async begin({ isolationLevel = 'read committed' }: TransactionSettings): Promise<void> {
    this.#failure = undefined
    // In one flight. The ID tells what became of a transaction whose commit was never answered.
    const text = `begin isolation level ${isolationLevel}; select pg_current_xact_id()::text as id`
    const answers = (await this.#ask({ text })) as unknown as QueryArrayResult<never>[]
    const [row] = (answers[1]?.rows ?? []) as unknown as { id: string }[]
    if (row === undefined) throw new Error('PostgreSQL does not tell the ID of a transaction')
    this.#transactionId = row.id
  }

  /** Rejects with CatalogAway when the outcome is not known. */
  async commit(): Promise<void> {
    const { command } = await this.#ask({ text: 'commit' })
    // PostgreSQL answers COMMIT so after a failed statement, also when the caller caught the error of that statement.
    if (command === 'ROLLBACK')
      throw this.#failure ?? new Error('a statement ended the transaction, and its error was passed over')
  }

  async rollback(): Promise<void> {
    // A lost connection takes its transaction along.
    if (this.#lost !== undefined) return
    try {
      await this.#ask({ text: 'rollback' })
    } catch (error) {
      if (!(error instanceof CatalogAway)) throw error
    }
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { command, rows, rowCount } = await this.#ask({ ...named(sql), values: [...parameters] })
    const changes = ['INSERT', 'UPDATE', 'DELETE', 'MERGE'].includes(command)
    return { rows: rows as Row[], ...(changes && { numAffectedRows: BigInt(rowCount ?? 0) }) }
  }

  /** Past Kysely: see prepared.ts. */
  keep(text: string): KeptStatement {
    return kept(text, (query) => this.#ask(query))
  }

  // biome-ignore lint/correctness/useYield: Kysely asks for a generator; nothing here streams
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error('the catalog does not stream: page through the rows instead')
  }

  async #ask(query: QueryConfig): Promise<PgResult<Record<string, unknown>>> {
    try {
      return await this.#client.query(query)
    } catch (cause) {
      const error = translated(cause)
      if (error instanceof CatalogAway) this.#lost = error
      // The first one; those after it only say that the transaction has failed.
      if (this.#failure === undefined || isConflict(error)) this.#failure = error
      throw error
    }
  }
}

/**
 * The catalog in a PostgreSQL database.
 *
 * Transactions run beside each other, each on a connection of the pool, at REPEATABLE READ: one whose rows were changed by another
 * meanwhile fails and runs again as a whole. That leaves one anomaly, two transactions that each write what the other has read: a
 * transaction that relies on a row without writing it locks the row (core/tree/tree_rows.ts).
 *
 * Invariants
 *   1. Nobody is answered before the commit that decides it. When the answer to a commit is lost, the database is asked what became of
 *      it, for as long as it takes: the caller may hold the writes of a volume, and must know on which layer they continue.
 *   2. What was read at a version is what would be read now, but for commits of other processes within the last second.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { HandleEmptyInListsPlugin, Kysely, replaceWithNoncontingentExpression, sql } from 'kysely'
import pg from 'pg'
import { CatalogAway, CatalogFailed } from '../errors.js'
import { connect, disconnect, Prepared } from '../prepared.js'
import type { Schema } from '../schema.js'
import type { BrokenReference, CatalogDatabase, Reader, SchemaMode, TransactionOptions, Work } from '../types.js'
import { type PoolParts, PooledDialect, PooledStatements, type PostgresConnection } from './connection.js'
import { poolSettings, shownUrl } from './location.js'
import { prepare } from './schema_setup.js'
import { givenUp, isConflict, translated } from './translate.js'

export interface PostgresOptions {
  url: string
  schema: SchemaMode
  /** Called before each query of `db`; may refuse it by throwing. */
  beforeRead(): void
}

const attemptsMax = 10
const firstPauseMs = 2
const othersSeenWithinMs = 1000
const outcomePauseMsMax = 500

const snapshots = new Prepared<{ snapshot: string }, []>((db) =>
  sql<{ snapshot: string }>`select pg_current_snapshot()::text as snapshot`.compile(db),
)

export class PostgresDatabase implements CatalogDatabase {
  readonly db: Reader
  readonly #pool: pg.Pool
  #version = 0
  #snapshot = ''
  #lookedAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  #closed = false

  private constructor({ url, beforeRead }: PostgresOptions) {
    this.#pool = new pg.Pool(poolSettings(url))
    // A connection that is lost while nobody uses it. The user of a connection gets the error from its query.
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', (client) => client.on('error', () => undefined))
    const parts: PoolParts = { pool: this.#pool, beforeRead, outcomeOf: (id) => this.#outcomeOf(id) }
    // PostgreSQL knows no "in ()".
    const plugins = [new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression })]
    this.db = new Kysely<Schema>({ dialect: new PooledDialect(parts), plugins })
    connect(this.db, new PooledStatements(parts))
  }

  static async open(options: PostgresOptions): Promise<PostgresDatabase> {
    const database = new PostgresDatabase(options)
    try {
      await prepare(database.db as unknown as Kysely<unknown>, shownUrl(options.url), options.schema)
      return database
    } catch (error) {
      await database.close()
      throw error
    }
  }

  async run<T>(work: Work<T>, { looksAfterLocking = false }: TransactionOptions): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(work, looksAfterLocking ? 'read committed' : 'repeatable read')
      } catch (error) {
        if (!isConflict(error)) throw error
        if (attempt === attemptsMax) throw givenUp(error)
        await pause(Math.random() * firstPauseMs * 2 ** attempt)
      }
    }
  }

  async #attempt<T>(work: Work<T>, isolation: 'read committed' | 'repeatable read'): Promise<T> {
    const after: (() => void)[] = []
    try {
      const result = await this.db
        .transaction()
        .setIsolationLevel(isolation)
        .execute(async (db) => {
          const executor = db.getExecutor()
          await executor.provideConnection(async (connection) => connect(db, connection as PostgresConnection))
          try {
            return await work({ db, afterCommit: (then) => void after.push(then) })
          } finally {
            disconnect(db)
          }
        })
      this.#version++
      for (const then of after) then()
      return result
    } catch (error) {
      // Of one whose commit was not answered nobody knows yet.
      this.#version++
      throw error
    }
  }

  async #outcomeOf(transaction: string): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        const { rows } = await this.#pool.query('select pg_xact_status($1::xid8) as status', [transaction])
        const status = (rows[0] as { status: string | null } | undefined)?.status
        if (status === 'committed' || status === 'aborted') return status === 'committed'
        if (status !== 'in progress')
          throw new CatalogFailed(`it does not know the transaction ${transaction} any more`)
      } catch (cause) {
        const error = translated(cause)
        if (this.#closed || !(error instanceof CatalogAway)) throw error
      }
      await pause(Math.min(10 * 2 ** attempt, outcomePauseMsMax))
    }
  }

  async version(): Promise<number> {
    if (performance.now() - this.#lookedAt > othersSeenWithinMs) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined
      })
      await this.#looking
    }
    return this.#version
  }

  /** Snapshots are equal while nobody has committed anything. */
  async #look(): Promise<void> {
    const at = performance.now()
    const snapshot = (await snapshots.first(this.db))?.snapshot ?? ''
    if (snapshot !== this.#snapshot) this.#version++
    this.#snapshot = snapshot
    this.#lookedAt = at
  }

  /** PostgreSQL has its own tools for its files (pg_checksums, amcheck); it may run on another machine. */
  async fileProblems(): Promise<string[]> {
    await sql`select 1`.execute(this.db)
    return []
  }

  /** None: PostgreSQL enforces them. */
  async brokenReferences(): Promise<BrokenReference[]> {
    return []
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.db.destroy()
    // Kysely closes nothing that was never asked anything.
    if (!this.#pool.ended) await this.#pool.end()
  }
}

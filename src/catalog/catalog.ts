/**
 * The catalog: one SQLite database that knows the layer tree and all metadata of the services.
 *
 * Two connections. `db` only reads, and sees what is committed; `transaction` is the only way to write, one at a time.
 * So a reader never sees half of a transaction, and never waits for one (WAL).
 *
 * Rules for the work in a transaction: await nothing but its own queries (everybody else who writes is waiting), and read
 * by `tx.db`, never by `catalog.db` (which would show the state before; with `guard` it throws).
 *
 * Transactions that wait at the same time share one commit, and so one sync (`group_commit.ts`).
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { closeSync, existsSync, openSync } from 'node:fs'
import Database from 'better-sqlite3'
import { Kysely, sql } from 'kysely'
import { CatalogEmpty, CatalogMissing, CatalogOutdated } from './errors.js'
import { GroupCommit, type Transaction } from './group_commit.js'
import { migrate, schemaVersion, schemaVersionNow } from './migrate.js'
import { connect, Prepared } from './prepared.js'
import type { Schema } from './schema.js'
import { SerialSqliteDialect, SqliteConnection, translated } from './sqlite_dialect.js'

/** For reading: the catalog itself or, in a transaction, that. */
export type Reader = Kysely<Schema>

export type { Transaction }

export interface CatalogOptions {
  path: string
  /** `upgrade`: made when absent, brought up to date. `exact`: must be there and up to date (a second process). */
  schema?: 'upgrade' | 'exact'
  /**
   * Refuse reads that go around the transaction they are made in, and transactions within one (default: true). Before Node 24 it
   * costs each promise of the process a little, a sixth of a small GET: tests have it, the server has not.
   */
  guard?: boolean
}

const busyTimeoutMs = 5000

const dataVersion = new Prepared<{ data_version: number }, []>((db) =>
  sql<{ data_version: number }>`pragma data_version`.compile(db),
)

export class Catalog {
  readonly db: Reader
  readonly #writer: Kysely<Schema>
  readonly #connections: SqliteConnection[]
  readonly #transactions: GroupCommit
  readonly #inTransaction: AsyncLocalStorage<true> | undefined

  private constructor(path: string, guard: boolean) {
    const writer = new SqliteConnection(open(path, false))
    const reader = new SqliteConnection(open(path, true), () => {
      if (this.#inTransaction?.getStore()) throw new Error('in a transaction, read by tx.db')
    })
    this.#connections = [reader, writer]
    this.#inTransaction = guard ? new AsyncLocalStorage() : undefined
    this.#writer = new Kysely<Schema>({ dialect: new SerialSqliteDialect(writer) })
    this.#transactions = new GroupCommit(this.#writer, writer)
    this.db = new Kysely<Schema>({ dialect: new SerialSqliteDialect(reader) })
    connect(this.db, reader)
  }

  /** Throws CatalogTooNew, CatalogOutdated, CatalogEmpty, CatalogMissing, CatalogFailed. */
  static async open({ path, schema = 'upgrade', guard = true }: CatalogOptions): Promise<Catalog> {
    if (schema === 'exact' && !existsSync(path)) throw new CatalogMissing(path)
    await prepare(path, schema)
    return new Catalog(path, guard)
  }

  /** Everything or nothing; durable when it resolves. See the rules above. */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const inside = this.#inTransaction
    if (inside?.getStore()) throw new Error('a transaction within a transaction would wait for itself')
    return this.#transactions.run(inside === undefined ? work : (tx) => inside.run(true, () => work(tx)))
  }

  /**
   * Another number whenever anybody, this process or another, has committed anything since the last call. What was read at one
   * version is what would be read now, as long as that is the version.
   */
  version(): number {
    // sqlite.org/pragma.html#pragma_data_version: of the connection that never writes, so that our own commits count too.
    const [row] = dataVersion.all(this.db)
    if (row === undefined) throw new Error('SQLite does not tell the version of the catalog')
    return row.data_version
  }

  async close(): Promise<void> {
    await this.#transactions.idle()
    await this.db.destroy()
    await this.#writer.destroy()
    // Kysely closes nothing that was never asked anything.
    for (const connection of this.#connections) connection.close()
  }
}

async function prepare(path: string, schema: 'upgrade' | 'exact'): Promise<void> {
  // Made here, so that nobody else can read it: the -wal and -shm files follow its mode.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = new Kysely<unknown>({ dialect: new SerialSqliteDialect(new SqliteConnection(open(path, false))) })
  try {
    if (schema === 'upgrade') return await migrate(db, path)
    const found = await schemaVersion(db, path)
    if (found === 0) throw new CatalogEmpty(path)
    if (found !== schemaVersionNow) throw new CatalogOutdated(path, found, schemaVersionNow)
  } finally {
    await db.destroy()
  }
}

function open(path: string, readOnly: boolean): Database.Database {
  try {
    const database = new Database(path, { timeout: busyTimeoutMs })
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    database.pragma('journal_size_limit = 67108864')
    // What a savepoint may have to bring back, among others: else each group of transactions makes a file for it.
    database.pragma('temp_store = MEMORY')
    if (readOnly) database.pragma('query_only = ON')
    return database
  } catch (error) {
    throw translated(error)
  }
}

/**
 * The catalog: one SQLite database that knows the layer tree and all metadata of the services.
 *
 * Two connections. `db` only reads, and sees what is committed; `transaction` is the only way to write, one at a time.
 * So a reader never sees half of a transaction, and never waits for one (WAL).
 *
 * Rules for the work in a transaction: await nothing but its own queries (everybody else who writes is waiting), and read
 * by `tx.db`, never by `catalog.db` (which would show the state before; it throws).
 *
 * Later, when commits are the bottleneck: several waiting transactions can share one commit, each in a savepoint of its
 * own, behind this same `transaction`.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { closeSync, existsSync, openSync } from 'node:fs'
import Database from 'better-sqlite3'
import { Kysely, type Transaction as KyselyTransaction } from 'kysely'
import { CatalogEmpty, CatalogMissing, CatalogOutdated } from './errors.js'
import { migrate, schemaVersion, schemaVersionNow } from './migrate.js'
import type { Schema } from './schema.js'
import { SerialSqliteDialect, translated } from './sqlite_dialect.js'

/** For reading: the catalog itself or, in a transaction, that. */
export type Reader = Kysely<Schema>

export interface Transaction {
  readonly db: KyselyTransaction<Schema>
  /** Runs when the transaction is durable; never when it fails. Must not throw. */
  afterCommit(work: () => void): void
}

export interface CatalogOptions {
  path: string
  /** `upgrade`: made when absent, brought up to date. `exact`: must be there and up to date (a second process). */
  schema?: 'upgrade' | 'exact'
}

const busyTimeoutMs = 5000

export class Catalog {
  readonly db: Reader
  readonly #writer: Kysely<Schema>
  readonly #connections: Database.Database[]
  readonly #inTransaction = new AsyncLocalStorage<true>()

  private constructor(path: string) {
    const writer = connect(path, false)
    const reader = connect(path, true)
    this.#connections = [reader, writer]
    this.#writer = new Kysely<Schema>({ dialect: new SerialSqliteDialect(writer) })
    this.db = new Kysely<Schema>({
      dialect: new SerialSqliteDialect(reader, () => {
        if (this.#inTransaction.getStore()) throw new Error('in a transaction, read by tx.db')
      }),
    })
  }

  /** Throws CatalogTooNew, CatalogOutdated, CatalogEmpty, CatalogMissing, CatalogFailed. */
  static async open({ path, schema = 'upgrade' }: CatalogOptions): Promise<Catalog> {
    if (schema === 'exact' && !existsSync(path)) throw new CatalogMissing(path)
    await prepare(path, schema)
    return new Catalog(path)
  }

  /** Everything or nothing; durable when it resolves. See the rules above. */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    if (this.#inTransaction.getStore()) throw new Error('a transaction within a transaction would wait for itself')
    const after: (() => void)[] = []
    const result = await this.#inTransaction.run(true, () =>
      this.#writer.transaction().execute((db) => work({ db, afterCommit: (then) => void after.push(then) })),
    )
    for (const then of after) then()
    return result
  }

  async close(): Promise<void> {
    await this.db.destroy()
    await this.#writer.destroy()
    // Kysely closes nothing that was never asked anything.
    for (const connection of this.#connections) connection.close()
  }
}

async function prepare(path: string, schema: 'upgrade' | 'exact'): Promise<void> {
  // Made here, so that nobody else can read it: the -wal and -shm files follow its mode.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = new Kysely<unknown>({ dialect: new SerialSqliteDialect(connect(path, false)) })
  try {
    if (schema === 'upgrade') return await migrate(db, path)
    const found = await schemaVersion(db, path)
    if (found === 0) throw new CatalogEmpty(path)
    if (found !== schemaVersionNow) throw new CatalogOutdated(path, found, schemaVersionNow)
  } finally {
    await db.destroy()
  }
}

function connect(path: string, readOnly: boolean): Database.Database {
  try {
    const database = new Database(path, { timeout: busyTimeoutMs })
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    database.pragma('journal_size_limit = 67108864')
    if (readOnly) database.pragma('query_only = ON')
    return database
  } catch (error) {
    throw translated(error)
  }
}

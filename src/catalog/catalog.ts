/**
 * The catalog: one database that knows the layer tree and all metadata of the services. It is a SQLite file or a PostgreSQL
 * database; nobody above this folder needs to know which.
 *
 * `db` only reads, and sees what is committed; `transaction` is the only way to write.
 *
 * Rules for the work in a transaction
 *   1. It may run several times, and beside others; it changes nothing outside its `tx`. What it did counts for the run that was
 *      committed, and `afterCommit` is called for that one alone.
 *   2. It awaits nothing but its own queries: others who write may be waiting.
 *   3. It reads by `tx.db`, never by `catalog.db`, which would show the state before (with `guard` it throws).
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { PostgresDatabase } from './postgres/postgres_database.js'
import { SqliteDatabase } from './sqlite/sqlite_database.js'
import type {
  BrokenReference,
  CatalogDatabase,
  CatalogReserve,
  Reader,
  SchemaMode,
  TransactionOptions,
  Work,
} from './types.js'

export type { BrokenReference }

/** A SQLite file, or the URL of a PostgreSQL database. */
export type CatalogLocation = { path: string } | { url: string }

interface CommonOptions {
  /** Default: `upgrade`. */
  schema?: SchemaMode
  /**
   * Refuse reads that go around the transaction they are made in, and transactions within one (default: true). Before Node 24 it
   * costs each promise of the process a little, a sixth of a small GET: tests have it, the server has not.
   */
  guard?: boolean
  /** Default: none. */
  reserve?: CatalogReserve | undefined
}

export type CatalogOptions = CatalogLocation & CommonOptions

export class Catalog {
  readonly db: Reader
  readonly #database: CatalogDatabase
  readonly #inTransaction: AsyncLocalStorage<true> | undefined

  private constructor(database: CatalogDatabase, inTransaction: AsyncLocalStorage<true> | undefined) {
    this.db = database.db
    this.#database = database
    this.#inTransaction = inTransaction
  }

  /** Throws CatalogTooNew, CatalogOutdated, CatalogEmpty, CatalogMissing, CatalogFailed, CatalogAway, CatalogUnusable. */
  static open(options: CatalogOptions): Promise<Catalog> {
    return Catalog.#with(options, (asked) =>
      'url' in asked ? PostgresDatabase.open(asked) : SqliteDatabase.open(asked),
    )
  }

  /** For check: must be there and up to date, and is left as it is, also on a file system that takes no writes. Throws as `open` does. */
  static openToExamine(location: CatalogLocation, scratch?: string): Promise<Catalog> {
    return Catalog.#with({ ...location, schema: 'exact' }, (asked) =>
      'url' in asked ? PostgresDatabase.open(asked) : SqliteDatabase.openToExamine(asked, scratch),
    )
  }

  static async #with(
    { schema = 'upgrade', guard = true, reserve, ...location }: CatalogOptions,
    open: (options: CatalogLocation & OpenOptions) => Promise<CatalogDatabase>,
  ): Promise<Catalog> {
    const inTransaction = guard ? new AsyncLocalStorage<true>() : undefined
    const beforeRead = () => {
      if (inTransaction?.getStore()) throw new Error('in a transaction, read by tx.db')
    }
    return new Catalog(await open({ ...location, schema, reserve, beforeRead }), inTransaction)
  }

  /** Everything or nothing; durable when it resolves. See the rules above. */
  transaction<T>(work: Work<T>, options: Pick<TransactionOptions, 'looksAfterLocking'> = {}): Promise<T> {
    return this.#run(work, options)
  }

  /** The same, on a full disk by the space reserve: for what frees space, and for what nobody could free any without (a login). */
  reservedTransaction<T>(work: Work<T>, options: Pick<TransactionOptions, 'looksAfterLocking'> = {}): Promise<T> {
    return this.#run(work, { ...options, mayUseReserve: true })
  }

  async #run<T>(work: Work<T>, options: TransactionOptions): Promise<T> {
    const inside = this.#inTransaction
    if (inside?.getStore()) throw new Error('a transaction within a transaction would wait for itself')
    return this.#database.run(inside === undefined ? work : (tx) => inside.run(true, () => work(tx)), options)
  }

  /**
   * Another number whenever this process has committed anything since the last call, and at most a second after another process has
   * (in a SQLite file: at once). What was read at one version is what would be read now, as long as that is the version.
   */
  version(): Promise<number> {
    return this.#database.version()
  }

  /** What the database itself finds wrong with its files, for people. Throws if not even that can be read. */
  fileProblems(): Promise<string[]> {
    return this.#database.fileProblems()
  }

  /** Of the catalog, or of the transaction in which they are mended. */
  brokenReferences(db: Reader): Promise<BrokenReference[]> {
    return this.#database.brokenReferences(db)
  }

  close(): Promise<void> {
    return this.#database.close()
  }
}

interface OpenOptions {
  schema: SchemaMode
  reserve: CatalogReserve | undefined
  beforeRead(): void
}

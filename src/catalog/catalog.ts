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
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kysely } from 'kysely'
import { asError } from '../lib/errors.js'
import { CatalogEmpty, CatalogFailed, CatalogFull, CatalogMissing, CatalogOutdated } from './errors.js'
import { type CatalogReserve, GroupCommit, type TransactionOptions } from './sqlite/group_commit.js'
import { migrate, schemaVersion, schemaVersionNow } from './migrate.js'
import { connect } from './prepared.js'
import { type BrokenReference, brokenReferences, fileProblems } from './sqlite/integrity.js'
import type { Schema } from './schema.js'
import { dataVersion, openDatabase } from './sqlite/database.js'
import { SerialSqliteDialect, SqliteConnection } from './sqlite/dialect.js'
import type { Reader, Transaction } from './types.js'

export type { BrokenReference }

export interface CatalogOptions {
  path: string
  /** `upgrade`: made when absent, brought up to date. `exact`: must be there and up to date (a second process). */
  schema?: 'upgrade' | 'exact'
  /**
   * Refuse reads that go around the transaction they are made in, and transactions within one (default: true). Before Node 24 it
   * costs each promise of the process a little, a sixth of a small GET: tests have it, the server has not.
   */
  guard?: boolean
  /** Default: none. */
  reserve?: CatalogReserve | undefined
}

export class Catalog {
  readonly db: Reader
  readonly #writer: Kysely<Schema>
  readonly #connections: SqliteConnection[]
  readonly #transactions: GroupCommit
  readonly #inTransaction: AsyncLocalStorage<true> | undefined
  #afterClose = () => {}

  private constructor(path: string, guard: boolean, reserve: CatalogReserve | undefined) {
    const writer = new SqliteConnection(openDatabase(path, { readOnly: false }))
    const reader = new SqliteConnection(openDatabase(path, { readOnly: true }), () => {
      if (this.#inTransaction?.getStore()) throw new Error('in a transaction, read by tx.db')
    })
    this.#connections = [reader, writer]
    this.#inTransaction = guard ? new AsyncLocalStorage() : undefined
    this.#writer = new Kysely<Schema>({ dialect: new SerialSqliteDialect(writer) })
    this.#transactions = new GroupCommit(this.#writer, writer, reserve)
    this.db = new Kysely<Schema>({ dialect: new SerialSqliteDialect(reader) })
    connect(this.db, reader)
  }

  /** Throws CatalogTooNew, CatalogOutdated, CatalogEmpty, CatalogMissing, CatalogFailed. */
  static async open({ path, schema = 'upgrade', guard = true, reserve }: CatalogOptions): Promise<Catalog> {
    if (schema === 'exact' && !existsSync(path)) throw new CatalogMissing(path)
    for (;;) {
      try {
        await prepare(path, schema)
        return new Catalog(path, guard, reserve)
      } catch (error) {
        if (!(error instanceof CatalogFull && reserve?.release())) throw error
      }
    }
  }

  /**
   * For check: must be there and up to date. SQLite has to write beside a catalog to read it: where the file system takes no writes
   * (it is read-only, or full), a copy in `scratch` is opened. Throws as `open` does.
   */
  static async openToExamine(path: string, scratch = tmpdir()): Promise<Catalog> {
    try {
      return await Catalog.open({ path, schema: 'exact' })
    } catch (error) {
      if (!takesNoWrites(error)) throw error
    }
    const copy = copied(path, scratch)
    try {
      const catalog = await Catalog.open({ path: copy.path, schema: 'exact' })
      catalog.#afterClose = copy.remove
      return catalog
    } catch (error) {
      copy.remove()
      throw error
    }
  }

  /** Everything or nothing; durable when it resolves. See the rules above. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run(work, { mayUseReserve: false })
  }

  /**
   * The same, on a full disk by the space reserve: for what frees space, and for what nobody could free any without (a login).
   * The work may run more than once.
   */
  reservedTransaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run(work, { mayUseReserve: true })
  }

  async #run<T>(work: (tx: Transaction) => Promise<T>, options: TransactionOptions): Promise<T> {
    const inside = this.#inTransaction
    if (inside?.getStore()) throw new Error('a transaction within a transaction would wait for itself')
    return this.#transactions.run(inside === undefined ? work : (tx) => inside.run(true, () => work(tx)), options)
  }

  /**
   * Another number whenever anybody, this process or another, has committed anything since the last call. What was read at one
   * version is what would be read now, as long as that is the version.
   */
  version(): Promise<number> {
    return dataVersion(this.db)
  }

  /** What the database itself finds wrong with its files, for people. Throws if not even that can be read. */
  fileProblems(): Promise<string[]> {
    return fileProblems(this.db)
  }

  /** Of the catalog, or of the transaction in which they are mended. */
  brokenReferences(db: Reader): Promise<BrokenReference[]> {
    return brokenReferences(db)
  }

  async close(): Promise<void> {
    await this.#transactions.idle()
    await this.db.destroy()
    await this.#writer.destroy()
    // Kysely closes nothing that was never asked anything.
    for (const connection of this.#connections) connection.close()
    this.#afterClose()
  }
}

const takesNoWrites = (error: unknown): boolean =>
  error instanceof CatalogFull ||
  (error instanceof CatalogFailed &&
    /^SQLITE_(READONLY|CANTOPEN|IOERR)/.test(String((error.cause as { code?: unknown } | undefined)?.code)))

/** With what is in its write-ahead log. */
function copied(path: string, scratch: string): { path: string; remove: () => void } {
  let directory: string | undefined
  const remove = () => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  }
  try {
    directory = mkdtempSync(join(scratch, 'atoll-check-'))
    const copy = join(directory, 'catalog.db')
    for (const suffix of ['', '-wal']) {
      if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix)
    }
    return { path: copy, remove }
  } catch (error) {
    remove()
    const why = `its file system takes no writes, and it cannot be copied to ${scratch} (set TMPDIR to another directory)`
    throw new CatalogFailed(`${why}: ${asError(error).message}`, { cause: error })
  }
}

async function prepare(path: string, schema: 'upgrade' | 'exact'): Promise<void> {
  // Made here, so that nobody else can read it: the -wal and -shm files follow its mode.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = new Kysely<unknown>({
    dialect: new SerialSqliteDialect(new SqliteConnection(openDatabase(path, { readOnly: false }))),
  })
  try {
    if (schema === 'upgrade') return await migrate(db, path)
    const found = await schemaVersion(db, path)
    if (found === 0) throw new CatalogEmpty(path)
    if (found !== schemaVersionNow) throw new CatalogOutdated(path, found, schemaVersionNow)
  } finally {
    await db.destroy()
  }
}

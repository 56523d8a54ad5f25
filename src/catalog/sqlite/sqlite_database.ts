/**
 * The catalog in a SQLite file.
 *
 * Two connections. One only reads, and sees what is committed; the other writes, one transaction at a time. So a reader never
 * sees half of a transaction, and never waits for one (WAL). Transactions that wait at the same time share one commit, and so one
 * sync (`group_commit.ts`).
 */

import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kysely } from 'kysely'
import { asError } from '../../lib/errors.js'
import { CatalogFailed, CatalogFull, CatalogMissing } from '../errors.js'
import { prepareSchema } from '../migrate.js'
import { connect } from '../prepared.js'
import type { Schema } from '../schema.js'
import type {
  BrokenReference,
  CatalogDatabase,
  CatalogReserve,
  Reader,
  SchemaMode,
  TransactionOptions,
  Work,
} from '../types.js'
import { dataVersion, openDatabase } from './database.js'
import { SerialSqliteDialect, SqliteConnection } from './dialect.js'
import { GroupCommit } from './group_commit.js'
import { brokenReferences, fileProblems } from './integrity.js'

export interface SqliteOptions {
  path: string
  schema: SchemaMode
  /** Called before each query of `db`; may refuse it by throwing. */
  beforeRead(): void
  reserve: CatalogReserve | undefined
}

export class SqliteDatabase implements CatalogDatabase {
  readonly db: Reader
  readonly #writer: Kysely<Schema>
  readonly #connections: SqliteConnection[]
  readonly #transactions: GroupCommit
  #afterClose = () => {}

  private constructor({ path, beforeRead, reserve }: SqliteOptions) {
    const writer = new SqliteConnection(openDatabase(path, { readOnly: false }))
    const reader = new SqliteConnection(openDatabase(path, { readOnly: true }), beforeRead)
    this.#connections = [reader, writer]
    this.#writer = new Kysely<Schema>({ dialect: new SerialSqliteDialect(writer) })
    this.#transactions = new GroupCommit(this.#writer, writer, reserve)
    this.db = new Kysely<Schema>({ dialect: new SerialSqliteDialect(reader) })
    connect(this.db, reader)
  }

  static async open(options: SqliteOptions): Promise<SqliteDatabase> {
    const { path, schema, reserve } = options
    if (schema === 'exact' && !existsSync(path)) throw new CatalogMissing(path)
    for (;;) {
      try {
        await prepare(path, schema)
        return new SqliteDatabase(options)
      } catch (error) {
        if (!(error instanceof CatalogFull && reserve?.release())) throw error
      }
    }
  }

  /**
   * Must be there and up to date. SQLite has to write beside a catalog to read it: where the file system takes no writes (it is
   * read-only, or full), a copy in `scratch` is opened.
   */
  static async openToExamine(options: SqliteOptions, scratch = tmpdir()): Promise<SqliteDatabase> {
    try {
      return await SqliteDatabase.open(options)
    } catch (error) {
      if (!takesNoWrites(error)) throw error
    }
    const copy = copied(options.path, scratch)
    try {
      const database = await SqliteDatabase.open({ ...options, path: copy.path })
      database.#afterClose = copy.remove
      return database
    } catch (error) {
      copy.remove()
      throw error
    }
  }

  run<T>(work: Work<T>, options: TransactionOptions): Promise<T> {
    return this.#transactions.run(work, options)
  }

  version(): Promise<number> {
    return dataVersion(this.db)
  }

  fileProblems(): Promise<string[]> {
    return fileProblems(this.db)
  }

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

async function prepare(path: string, schema: SchemaMode): Promise<void> {
  // Made here, so that nobody else can read it: the -wal and -shm files follow its mode.
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
  const db = new Kysely<unknown>({
    dialect: new SerialSqliteDialect(new SqliteConnection(openDatabase(path, { readOnly: false }))),
  })
  const isMade = async (asked: Kysely<unknown>) =>
    (await asked.introspection.getTables()).some(({ name }) => name === 'schema_version')
  try {
    await prepareSchema({ db, name: path, isMade }, schema)
  } finally {
    await db.destroy()
  }
}

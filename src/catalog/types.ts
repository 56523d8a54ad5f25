/** What a catalog offers to those who read and write it, and what it asks of the database behind it. */

import type { Kysely, Transaction as KyselyTransaction } from 'kysely'
import type { Schema } from './schema.js'

/** For reading: the catalog itself or, in a transaction, that. */
export type Reader = Kysely<Schema>

export interface Transaction {
  readonly db: KyselyTransaction<Schema>
  /** Runs when the transaction is durable; never when it fails. Must not throw. */
  afterCommit(work: () => void): void
}

/** The work of a transaction. It may run several times, and changes nothing outside `tx`. */
export type Work<T> = (tx: Transaction) => Promise<T>

export interface TransactionOptions {
  /** It frees space, or an operator could not free any without it (a login): it may use the space reserve. */
  mayUseReserve?: boolean
  /**
   * Each statement sees what is committed by then, not what was committed when the transaction began: for work that locks rows first
   * and looks afterwards. Where transactions run one at a time there is no difference.
   */
  looksAfterLocking?: boolean
}

/** Space for what must work on a full disk. */
export interface CatalogReserve {
  /** It has been drawn on: transactions that may not use it are refused. */
  low(): boolean
  /** Gives a part of it up. False: nothing is left. */
  release(): boolean
}

/** A row that refers to something that is not there. */
export interface BrokenReference {
  table: string
  /** The table that it refers to. */
  parent: string
  /** Which row, for people; its other columns may be missing. */
  where: string
  read(): Promise<Record<string, string | number | null> | undefined>
  remove(): Promise<void>
}

/** The database of a catalog. What it throws is explained at `Catalog`. */
export interface CatalogDatabase {
  /** Reads what is committed. */
  readonly db: Reader
  run<T>(work: Work<T>, options: TransactionOptions): Promise<T>
  version(): Promise<number>
  fileProblems(): Promise<string[]>
  brokenReferences(db: Reader): Promise<BrokenReference[]>
  close(): Promise<void>
}

/** How far a database may be changed when it is opened. `upgrade`: made when absent, brought up to date. `exact`: must be there and up to date. */
export type SchemaMode = 'upgrade' | 'exact'

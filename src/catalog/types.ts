/** What a catalog offers to those who read and write it, whatever database is behind it. */

import type { Kysely, Transaction as KyselyTransaction } from 'kysely'
import type { Schema } from './schema.js'

/** For reading: the catalog itself or, in a transaction, that. */
export type Reader = Kysely<Schema>

export interface Transaction {
  readonly db: KyselyTransaction<Schema>
  /** Runs when the transaction is durable; never when it fails. Must not throw. */
  afterCommit(work: () => void): void
}

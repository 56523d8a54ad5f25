/** A catalog whose transactions run twice, and other ways to disturb them: for tests of what a transaction may rely on. */

import { sql } from 'kysely'
import type { Catalog } from '../../../src/catalog/catalog.js'
import type { Transaction } from '../../../src/catalog/types.js'

/**
 * Runs the work of each transaction of this catalog twice, as a catalog does whose transactions can be in each other's way: what
 * the first run did is rolled back. Both must end alike. Returns what puts the catalog back, and answers how many were repeated.
 */
export function repeatTransactions(catalog: Catalog): () => number {
  let repeated = 0
  const undo = replaceTransaction(
    catalog,
    (original) => (work) =>
      original(async (tx) => {
        const first = await rolledBack(tx, work)
        const second = await outcomeOf(() => work(tx))
        if (first.error !== second.error)
          throw new Error(
            `the first run ended with ${first.error ?? 'success'}, the second with ${second.error ?? 'success'}`,
          )
        repeated += 1
        return second.end()
      }),
  )
  return () => {
    undo()
    return repeated
  }
}

type Run = Catalog['transaction']

/** Also of those that may use the space reserve. Returns what puts the catalog's own back. */
export function replaceTransaction(catalog: Catalog, replacement: (original: Run) => Run): () => void {
  const kinds = ['transaction', 'reservedTransaction'] as const
  for (const kind of kinds) {
    const original = catalog[kind].bind(catalog)
    Object.defineProperty(catalog, kind, { value: replacement(original), configurable: true })
  }
  return () => {
    for (const kind of kinds) Reflect.deleteProperty(catalog, kind)
  }
}

async function rolledBack(tx: Transaction, work: (tx: Transaction) => Promise<unknown>) {
  await sql`savepoint first_run`.execute(tx.db)
  const outcome = await outcomeOf(() => work({ db: tx.db, afterCommit: () => undefined }))
  await sql`rollback to first_run`.execute(tx.db)
  await sql`release first_run`.execute(tx.db)
  return outcome
}

async function outcomeOf<T>(work: () => Promise<T>): Promise<{ error?: string; end: () => T }> {
  try {
    const value = await work()
    return { end: () => value }
  } catch (error) {
    const { code, statusCode, message } = error as { code?: string; statusCode?: number; message: string }
    return {
      // Messages may name what is made anew in each run.
      error: String(code ?? statusCode ?? message),
      end: () => {
        throw error
      },
    }
  }
}

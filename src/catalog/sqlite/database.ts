/** The SQLite file of a catalog: how it is opened, and its version. */

import Database from 'better-sqlite3'
import { sql } from 'kysely'
import { Prepared } from '../prepared.js'
import type { Reader } from '../types.js'
import { translated } from './dialect.js'

const busyTimeoutMs = 5000

/** Throws CatalogFailed, CatalogFull, CatalogBusy. */
export function openDatabase(path: string, { readOnly }: { readOnly: boolean }): Database.Database {
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

const versions = new Prepared<{ data_version: number }, []>((db) =>
  sql<{ data_version: number }>`pragma data_version`.compile(db),
)

/**
 * Another number after each commit of another connection (sqlite.org/pragma.html#pragma_data_version). `db` is the connection that never
 * writes, so that this process's own commits count too.
 */
export async function dataVersion(db: Reader): Promise<number> {
  const row = await versions.first(db)
  if (row === undefined) throw new Error('SQLite does not tell the version of the catalog')
  return row.data_version
}

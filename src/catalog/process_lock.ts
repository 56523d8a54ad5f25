/**
 * A lock that dies with its process: that of an SQLite database, which works wherever the catalog does.
 */

import { chmodSync } from 'node:fs'
import Database from 'better-sqlite3'

/** Another process holds the lock; `holder`: its id, when it could be read. */
export class LockHeld extends Error {
  readonly holder: number | undefined

  constructor(path: string, holder: number | undefined, cause: unknown) {
    super(`${path} is held by process ${holder ?? 'unknown'}`, { cause })
    this.holder = holder
  }
}

/** Takes the lock at once or throws LockHeld; answers what gives it back. The file is made when absent (mode 0600). */
export function holdProcessLock(path: string): () => void {
  let database: Database.Database | undefined
  try {
    database = new Database(path, { timeout: 0 })
    chmodSync(path, 0o600)
    // Who holds it is written first, for the ones that are refused; then one more transaction is begun and never ended.
    database.exec('create table if not exists holder (process integer)')
    database.transaction(() => {
      database?.exec('delete from holder')
      database?.prepare('insert into holder values (?)').run(process.pid)
    })()
    database.exec('begin immediate')
  } catch (error) {
    const busy = String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')
    const holder = busy && database ? holderOf(database) : undefined
    database?.close()
    throw busy ? new LockHeld(path, holder, error) : error
  }
  const held = database
  return () => held.close()
}

function holderOf(database: Database.Database): number | undefined {
  try {
    return database.prepare('select process from holder').pluck().get() as number | undefined
  } catch {
    return undefined
  }
}

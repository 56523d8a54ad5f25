/**
 * Locks on rows, for transactions that run beside others. Where transactions run one at a time (SQLite) there are none to take, and
 * no query is made.
 */

import { PostgresAdapter } from 'kysely'
import type { Reader } from './types.js'

export const takesRowLocks = (db: Reader): boolean => db.getExecutor().adapter instanceof PostgresAdapter

/** Where a PostgreSQL catalog is: its URL, as settings of connections and as words. */

import type { PoolConfig } from 'pg'
import { parseIntoClientConfig } from 'pg-connection-string'
import pg from 'pg'
import { asError, defineError } from '../../lib/errors.js'

export const BadCatalogUrl = defineError('bad_catalog_url', 400, 'not the URL of a PostgreSQL database: %s')

/** Bounds the memory of the server as well: each connection is a process of it. */
const connectionsMax = 16
const connectMsMax = 5000
/** A gateway that stands still lets go of its rows. */
const idleInTransactionMsMax = 60_000
const lockMsMax = 30_000

/** Throws BadCatalogUrl. A password comes from a password file (PGPASSFILE, ~/.pgpass) or PGPASSWORD: command lines are seen by others. */
export function poolSettings(url: string): PoolConfig {
  const { password, ...client } = parsed(url)
  if (password)
    throw new BadCatalogUrl('it has a password, which others can see: use a password file (PGPASSFILE) instead')
  return {
    ...client,
    max: connectionsMax,
    connectionTimeoutMillis: connectMsMax,
    idleTimeoutMillis: 300_000,
    keepAlive: true,
    idle_in_transaction_session_timeout: idleInTransactionMsMax,
    lock_timeout: lockMsMax,
    application_name: client.application_name ?? 'atoll',
    types: { getTypeParser },
  }
}

/** For messages: without what may be secret. */
export function shownUrl(url: string): string {
  const { host, port, database } = parsed(url)
  return `postgres://${host?.startsWith('/') ? `${host} ` : `${host ?? 'localhost'}${port ? `:${port}` : ''}/`}${database ?? ''}`
}

function parsed(url: string): ReturnType<typeof parseIntoClientConfig> {
  if (!/^postgres(ql)?:\/\//.test(url)) throw new BadCatalogUrl('it does not begin with postgres://')
  try {
    return parseIntoClientConfig(url)
  } catch (error) {
    throw new BadCatalogUrl(asError(error).message, { cause: error })
  }
}

/** int8, and numeric (the sums of int8). All of the catalog's are below 2^53. */
const numbers = new Set<number>([pg.types.builtins.INT8, pg.types.builtins.NUMERIC])

const getTypeParser: typeof pg.types.getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  numbers.has(oid) && format !== 'binary'
    ? Number
    : pg.types.getTypeParser(oid, format as never)) as typeof pg.types.getTypeParser

/** What PostgreSQL and its connections throw, as errors of the catalogue. */

import pg from 'pg'
import { AtollError } from '../../lib/errors.js'
import { CatalogAway, CatalogContended, CatalogFailed, CatalogFull } from '../errors.js'

/**
 * Conditions of the world become errors of the catalogue. A transaction that was in the way of another (`isConflict`), and a query that
 * is wrong, stay as they are.
 */
export function translated(error: unknown): unknown {
  if (error instanceof AtollError) return error
  if (!(error instanceof pg.DatabaseError)) return isOfConnection(error) ? away(error) : error
  const { code = '', message } = error
  // https://www.postgresql.org/docs/current/errcodes-appendix.html
  if (/^08|^57P0[1-5]$|^25P0[34]$|^53300$/.test(code)) return away(error)
  if (code === '53100') return new CatalogFull({ cause: error })
  if (code === '55P03' || code.startsWith('53')) return new CatalogContended({ cause: error })
  // Rights, passwords, a database that is missing or only read (a standby), damage.
  if (/^(42501|28|3D|25006|58|XX|F0)/.test(code)) return new CatalogFailed(message, { cause: error })
  return error
}

/** Another transaction came first: all of it has to run again. */
export function isConflict(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  // Not serializable; a deadlock; a row that another one inserted, or deleted what a row refers to, after this one had looked.
  return ['40001', '40P01', '23505', '23503'].includes(error.code ?? '')
}

/** What a conflict is to the caller when it does not end. A broken constraint is our own bug, and stays as it is. */
export const givenUp = (error: unknown): unknown =>
  String((error as { code?: unknown }).code).startsWith('40') ? new CatalogContended({ cause: error }) : error

/** `pg` has neither classes nor codes for most of them. */
function isOfConnection(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  if (syscall !== undefined || (typeof code === 'string' && /^(E[A-Z]+|ERR_(TLS|SSL)_\w+|CERT_\w+)$/.test(code)))
    return true
  return /^(Connection terminated|timeout exceeded when trying to connect|Client (has encountered|was closed)|The server does not support SSL)/.test(
    error.message,
  )
}

const away = (error: Error) =>
  new CatalogAway(error.message || String((error as { code?: unknown }).code), { cause: error })

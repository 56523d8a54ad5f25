/**
 * Transactions one after the other, those that wait together in one commit: a sync costs more than most of them.
 *
 * Invariants
 *   1. Nobody is answered, neither well nor ill, before the commit that decides it: what one saw of another in its group may still be lost.
 *   2. One that fails takes nothing along: each of a group has a savepoint. But where SQLite itself ends the transaction (a full
 *      disk, a failed write), and where the commit fails, all of the group fail.
 *   3. On a full disk, those of a group that may use the space reserve are run again by themselves after a part of it was given
 *      up; the rest fail. So the work of a transaction may run more than once.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kysely, Transaction as KyselyTransaction } from 'kysely'
import { CatalogFailed, CatalogFull } from '../errors.js'
import { connect, disconnect } from '../prepared.js'
import type { Schema } from '../schema.js'
import type { CatalogReserve, TransactionOptions, Work } from '../types.js'
import type { SqliteConnection } from './dialect.js'

/** Bounds how long the event loop is kept by one group. */
const groupMax = 64

interface Waiting {
  readonly mayUseReserve: boolean
  /** What the caller asked for; what it throws is kept until the commit, and thrown here too. */
  work(db: KyselyTransaction<Schema>): Promise<void>
  committed(): void
  failed(error: unknown): void
}

export class GroupCommit {
  readonly #db: Kysely<Schema>
  readonly #connection: SqliteConnection
  readonly #reserve: CatalogReserve | undefined
  #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  /** `connection`: that of `db`. */
  constructor(db: Kysely<Schema>, connection: SqliteConnection, reserve?: CatalogReserve) {
    this.#db = db
    this.#connection = connection
    this.#reserve = reserve
  }

  run<T>(work: Work<T>, { mayUseReserve = false }: TransactionOptions): Promise<T> {
    if (!mayUseReserve && this.#reserve?.low()) return Promise.reject(new CatalogFull())
    return new Promise((resolve, reject) => {
      const after: (() => void)[] = []
      let answer = () => {}
      this.#waiting.push({
        mayUseReserve,
        work: async (db) => {
          after.length = 0
          try {
            const result = await work({ db, afterCommit: (then) => void after.push(then) })
            answer = () => {
              for (const then of after) then()
              resolve(result)
            }
          } catch (error) {
            answer = () => reject(error)
            throw error
          }
        },
        committed: () => answer(),
        failed: reject,
      })
      this.#running ??= this.#drain()
    })
  }

  /** Resolves when nobody waits. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Whoever is about to ask in this turn of the event loop (the uploads of one commit of records end together) comes along.
      await nextTurn()
      await this.#commit(this.#waiting.splice(0, groupMax))
    }
    this.#running = undefined
  }

  async #commit(whole: Waiting[]): Promise<void> {
    for (let group = whole; group.length > 0; ) {
      const error = await this.#attempt(group)
      if (error === undefined) {
        for (const one of group) one.committed()
        return
      }
      const mayRetry = error instanceof CatalogFull && group.some((one) => one.mayUseReserve)
      const again = mayRetry && this.#reserve?.release() ? group.filter((one) => one.mayUseReserve) : []
      for (const one of group) if (!again.includes(one)) one.failed(error)
      group = again
    }
  }

  /** Returns what was thrown; undefined: it is committed. */
  async #attempt(group: Waiting[]): Promise<unknown> {
    try {
      await this.#db.transaction().execute(async (db) => {
        connect(db, this.#connection)
        try {
          for (const one of group) await this.#take(one, db, group.length === 1)
        } finally {
          disconnect(db)
        }
      })
      return undefined
    } catch (error) {
      return error
    }
  }

  async #take(one: Waiting, db: KyselyTransaction<Schema>, alone: boolean): Promise<void> {
    if (alone) return one.work(db)
    this.#run('savepoint one')
    try {
      await one.work(db)
    } catch (error) {
      // sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction"
      if (error instanceof CatalogFull || !this.#connection.inTransaction) throw error
      this.#run('rollback to one')
    }
    if (!this.#connection.inTransaction)
      throw new CatalogFailed('a statement ended the transaction, and its error was passed over')
    this.#run('release one')
  }

  #run(statement: string): void {
    this.#connection.runNow(this.#connection.prepare(statement), [])
  }
}

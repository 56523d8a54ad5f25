/**
 * Frees objects that have expired. To readers and in listings they are gone the moment they expire; until this has deleted them, they
 * count in their container, and hold their space.
 */

import type { Catalog } from '../../catalog/catalog.js'
import { asError } from '../../lib/errors.js'
import type { Logger } from '../../lib/log.js'
import type { Objects } from './objects.js'

/** A timer for the next object that expires, but never longer than this: another process may add one. */
const waitMsMax = 10_000
const waitMsMin = 100
const objectsPerTransaction = 100

export class Expiry {
  readonly #catalog: Catalog
  readonly #objects: Objects
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #running: Promise<void> | undefined

  constructor(parts: { catalog: Catalog; objects: Objects; log: Logger }) {
    this.#catalog = parts.catalog
    this.#objects = parts.objects
    this.#log = parts.log
  }

  start(): void {
    this.#wait(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  /** Deletes everything that has expired by now. */
  async run(): Promise<void> {
    while (!this.#stopped && (await this.#objects.deleteExpired(Date.now(), objectsPerTransaction)) > 0);
  }

  #wait(ms: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#running = this.#runAndWait()
    }, ms).unref()
  }

  /** Does not reject. */
  async #runAndWait(): Promise<void> {
    try {
      await this.run()
      this.#wait(await this.#msToNext())
    } catch (error) {
      this.#log.error({ err: asError(error) }, 'expired objects could not be deleted; it is tried again')
      this.#wait(waitMsMax)
    }
  }

  async #msToNext(): Promise<number> {
    const next = await this.#catalog.db
      .selectFrom('objects')
      .select('expires_at')
      .where('expires_at', 'is not', null)
      .orderBy('expires_at')
      .limit(1)
      .executeTakeFirst()
    const ms = Number(next?.expires_at ?? Number.POSITIVE_INFINITY) - Date.now()
    return Math.min(waitMsMax, Math.max(waitMsMin, ms))
  }
}

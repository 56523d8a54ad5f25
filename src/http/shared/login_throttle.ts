/**
 * Slows down those who guess passwords: failures are counted for each (user, address). Each one delays its answer a
 * little longer; past a number of them within the window, attempts are refused unjudged (429) until it has passed.
 * Others who log in as the same user from elsewhere do not notice.
 *
 * Invariants
 *   1. Many attempts at once gain nothing: those beyond the number of failures that are left wait until the ones before
 *      them are judged. A burst of right passwords only queues.
 *   2. The table is bounded: when it is full the pair that failed longest ago is forgotten, unless it is being judged. So is the
 *      number of attempts of a pair that wait, and the room that what a client claims to be takes.
 */

import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { TooManyAttempts } from './errors.js'

const failuresMax = 10
const windowMs = 60_000
const delayMsStep = 100
const delayMsMax = 1_000
const pairsMax = 10_000
const waitingMax = 100

interface Pair {
  failures: number
  lastMs: number
  judging: number
  waiting: (() => void)[]
}

export interface Clock {
  /** Milliseconds since whenever: of a clock that is never set, or whoever failed before it was set back would wait for days. */
  now(): number
  sleep(ms: number): Promise<unknown>
}

export class LoginThrottle {
  readonly #pairs = new Map<string, Pair>()
  readonly #clock: Clock

  constructor(clock: Partial<Clock> = {}) {
    this.#clock = { now: () => performance.now(), sleep, ...clock }
  }

  /**
   * Runs `login`; a rejection counts as a failure when `isWrongCredentials` says so. `who` is what the client claims to be.
   * Throws TooManyAttempts, and whatever `login` throws.
   */
  async attempt<T>(
    { who, address }: { who: string; address: string },
    login: () => Promise<T>,
    isWrongCredentials: (error: unknown) => boolean,
  ): Promise<T> {
    const key = createHash('sha256')
      .update(JSON.stringify([who, address]))
      .digest('base64')
    const pair = this.#pairOf(key)
    while (pair.judging > 0 && pair.failures + pair.judging >= failuresMax) {
      if (pair.waiting.length >= waitingMax) throw new TooManyAttempts()
      await new Promise<void>((resolve) => pair.waiting.push(resolve))
    }
    if (pair.failures >= failuresMax) {
      this.#settle(key, pair)
      throw new TooManyAttempts()
    }
    pair.judging += 1
    let delayMs = 0
    try {
      const result = await login()
      pair.failures = 0
      return result
    } catch (error) {
      if (isWrongCredentials(error)) {
        pair.failures += 1
        pair.lastMs = this.#clock.now()
        delayMs = Math.min(delayMsMax, delayMsStep * pair.failures)
      }
      throw error
    } finally {
      pair.judging -= 1
      this.#settle(key, pair)
      if (delayMs > 0) await this.#clock.sleep(delayMs)
    }
  }

  #pairOf(key: string): Pair {
    const pair = this.#pairs.get(key) ?? { failures: 0, lastMs: this.#clock.now(), judging: 0, waiting: [] }
    if (this.#clock.now() - pair.lastMs >= windowMs) pair.failures = 0
    this.#pairs.set(key, pair)
    return pair
  }

  /** Lets the next one in, keeps the pair if there is something to remember, and the table within its bounds. */
  #settle(key: string, pair: Pair): void {
    pair.waiting.shift()?.()
    // Deleted first, so that the order of the map is the order in which its pairs were heard of.
    this.#pairs.delete(key)
    if (pair.failures > 0 || pair.judging > 0 || pair.waiting.length > 0) this.#pairs.set(key, pair)
    if (this.#pairs.size <= pairsMax) return
    for (const [oldest, { judging, waiting }] of this.#pairs) {
      if (judging > 0 || waiting.length > 0) continue
      this.#pairs.delete(oldest)
      return
    }
  }
}

/**
 * Slows down those who guess passwords: failures are counted for each (user, address). Each one delays its answer a
 * little longer; past a number of them within the window, attempts are refused unjudged (429) until it has passed.
 * Others who log in as the same user from elsewhere do not notice.
 *
 * The table is bounded: when it is full the pair that failed longest ago is forgotten.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { TooManyAttempts } from './errors.js'

const failuresMax = 10
const windowMs = 60_000
const delayMsStep = 100
const delayMsMax = 1_000
const pairsMax = 10_000

interface Failures {
  count: number
  lastMs: number
}

export class LoginThrottle {
  readonly #failures = new Map<string, Failures>()

  constructor(private readonly now: () => number = Date.now) {}

  /**
   * Runs `login`; a rejection counts as a failure when `isWrongCredentials` says so. `who` is what the client claims to be.
   */
  async attempt<T>(
    { who, address }: { who: string; address: string },
    login: () => Promise<T>,
    isWrongCredentials: (error: unknown) => boolean,
  ): Promise<T> {
    const key = JSON.stringify([who, address])
    const seen = this.#recent(key)
    if (seen >= failuresMax) throw new TooManyAttempts()
    try {
      const result = await login()
      this.#failures.delete(key)
      return result
    } catch (error) {
      if (isWrongCredentials(error)) {
        this.#count(key)
        await sleep(Math.min(delayMsMax, delayMsStep * (seen + 1)))
      }
      throw error
    }
  }

  #recent(key: string): number {
    const failures = this.#failures.get(key)
    if (failures === undefined) return 0
    if (this.now() - failures.lastMs < windowMs) return failures.count
    this.#failures.delete(key)
    return 0
  }

  #count(key: string): void {
    const count = this.#recent(key) + 1
    // Deleted first, so that the order of the map is the order of the last failures.
    this.#failures.delete(key)
    this.#failures.set(key, { count, lastMs: this.now() })
    if (this.#failures.size > pairsMax) this.#failures.delete(this.#failures.keys().next().value as string)
  }
}

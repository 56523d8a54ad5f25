/**
 * Background work on keys: one batch at a time, in the order of asking, each key at most once in the queue. What fails is
 * tried again after a while.
 */

export interface WorkQueueOptions<Key> {
  /** How many keys one batch may have. */
  batchMax: number
  /** Resolves to the outcome of each key, in their order. Must not reject. */
  work(keys: readonly Key[]): Promise<PromiseSettledResult<void>[]>
  /** Answers after how many milliseconds it is tried again; `attempt` counts from 0. */
  onFailure(error: unknown, key: Key, attempt: number): number
}

export class WorkQueue<Key> {
  readonly #options: WorkQueueOptions<Key>
  readonly #waiting = new Set<Key>()
  readonly #delayed = new Map<Key, NodeJS.Timeout>()
  readonly #attempts = new Map<Key, number>()
  #running: Promise<void> | undefined
  #idle: { promise: Promise<void>; resolve: () => void } | undefined
  #stopping = false
  #underWay = 0

  constructor(options: WorkQueueOptions<Key>) {
    this.#options = options
  }

  /** What is asked for while it is being worked on is worked on once more. */
  add(key: Key): void {
    if (this.#stopping) return
    clearTimeout(this.#delayed.get(key))
    this.#delayed.delete(key)
    this.#waiting.add(key)
    this.#running ??= this.#run()
  }

  /** Waiting, delayed and under way. */
  get size(): number {
    return this.#waiting.size + this.#delayed.size + Math.max(this.#underWay, this.#running ? 1 : 0)
  }

  get stopping(): boolean {
    return this.#stopping
  }

  /** Resolves when nothing is waiting, delayed or under way, or the queue was stopped. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    if (this.#idle === undefined) {
      let resolve: () => void = () => undefined
      const promise = new Promise<void>((done) => {
        resolve = done
      })
      this.#idle = { promise, resolve }
    }
    return this.#idle.promise
  }

  /** Resolves when the work under way has ended; nothing begins afterwards. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#waiting.clear()
    for (const timer of this.#delayed.values()) clearTimeout(timer)
    this.#delayed.clear()
    await this.#running
    this.#tellIdle()
  }

  async #run(): Promise<void> {
    // Not within the caller's own step (which may be a transaction that has just ended).
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#waiting.size > 0) {
      const batch = this.#takeBatch()
      this.#underWay = batch.length
      const outcomes = await this.#options.work(batch)
      for (const [i, key] of batch.entries()) {
        const outcome = outcomes[i]
        if (outcome?.status === 'rejected') this.#retry(key, outcome.reason)
        else this.#attempts.delete(key)
      }
    }
    this.#underWay = 0
    this.#running = undefined
    this.#tellIdle()
  }

  #takeBatch(): Key[] {
    const batch: Key[] = []
    for (const key of this.#waiting) {
      if (batch.length === this.#options.batchMax) break
      batch.push(key)
      this.#waiting.delete(key)
    }
    return batch
  }

  #retry(key: Key, error: unknown): void {
    if (this.#stopping || this.#waiting.has(key)) return
    const attempt = this.#attempts.get(key) ?? 0
    this.#attempts.set(key, attempt + 1)
    const waitMs = this.#options.onFailure(error, key, attempt)
    this.#delayed.set(
      key,
      setTimeout(() => this.add(key), waitMs),
    )
  }

  #tellIdle(): void {
    if (this.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}

/**
 * Background work on keys: one at a time, in the order of asking, each key at most once in the queue. What fails is
 * tried again after a while.
 */

export interface WorkQueueOptions<Key> {
  work(key: Key): Promise<void>
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
    return this.#waiting.size + this.#delayed.size + (this.#running ? 1 : 0)
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
    for (const key of this.#waiting) {
      this.#waiting.delete(key)
      try {
        await this.#options.work(key)
        this.#attempts.delete(key)
      } catch (error) {
        this.#retry(key, error)
      }
    }
    this.#running = undefined
    this.#tellIdle()
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

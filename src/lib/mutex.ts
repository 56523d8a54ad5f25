/** One at a time, in the order of asking. */

export type Release = () => void

export class Mutex {
  #tail: Promise<void> = Promise.resolve()
  #holders = 0

  /** Resolves when it is our turn, with what ends it (to be called exactly once). */
  async lock(): Promise<Release> {
    const before = this.#tail
    let end: Release = () => undefined
    this.#tail = new Promise((resolve) => {
      end = resolve
    })
    this.#holders += 1
    await before
    return () => {
      this.#holders -= 1
      end()
    }
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const release = await this.lock()
    try {
      return await work()
    } finally {
      release()
    }
  }

  /** Does nobody hold it or wait for it? */
  get idle(): boolean {
    return this.#holders === 0
  }
}

/** A mutex for each key, forgotten when nobody uses it. */
export class KeyedMutex<Key> {
  readonly #mutexes = new Map<Key, Mutex>()

  async run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    let mutex = this.#mutexes.get(key)
    if (mutex === undefined) {
      mutex = new Mutex()
      this.#mutexes.set(key, mutex)
    }
    try {
      return await mutex.run(work)
    } finally {
      if (mutex.idle) this.#mutexes.delete(key)
    }
  }
}

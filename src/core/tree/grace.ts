/**
 * Grace periods: wait for everybody who may still act on an older state of the tree.
 *
 * Whoever reads a chain from the catalog and hands it to the engine does both `during` one piece of work. Whoever changed
 * the tree waits, after the commit, for the works that were under way by then: all later ones have read the new state.
 * Newcomers are never held up (a lock would make every open wait for a merge).
 */

export class GracePeriods {
  readonly #running = new Set<Promise<unknown>>()

  async during<T>(work: () => Promise<T>): Promise<T> {
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Resolves when everything that is running now has ended, whatever its outcome. */
  async elapsed(): Promise<void> {
    await Promise.allSettled([...this.#running])
  }
}

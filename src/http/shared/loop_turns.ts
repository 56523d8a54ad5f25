/**
 * Turns for long work in JavaScript (lists, long JSON bodies): one piece of it in each turn of the event loop. Whatever else has arrived
 * is served between two pieces, so a small request waits for one piece at most, not for all lists that were asked for before it.
 *
 * Owners (projects) take turns, so that a project with a hundred lists under way delays another one's list by one piece for each of its own.
 * Of one owner the work that began first goes first: fewer answers are half made at one time.
 */

interface Waiting {
  order: number
  go(): void
}

/** One list, or one body: it waits for a turn before each of its pieces. */
interface Work {
  /** Resolves when the next piece may be made. */
  turn(): Promise<void>
}

export class LoopTurns {
  /** By owner; the owner whose turn is next comes first. */
  readonly #waiting = new Map<string, Waiting[]>()
  #begun = 0
  #taken = 0
  /** A piece was made in this turn of the event loop. */
  #busy = false

  /** How many turns were taken. */
  get taken(): number {
    return this.#taken
  }

  /** Works of this owner that wait for their turn. */
  waitingOf(owner: string): number {
    return this.#waiting.get(owner)?.length ?? 0
  }

  begin(owner: string): Work {
    const order = this.#begun++
    return { turn: () => this.#next(owner, order) }
  }

  #next(owner: string, order: number): Promise<void> {
    if (!this.#busy) {
      this.#begin()
      return Promise.resolve()
    }
    return new Promise((go) => {
      const waiting = this.#waiting.get(owner)
      if (waiting === undefined) this.#waiting.set(owner, [{ order, go }])
      else waiting.push({ order, go })
    })
  }

  #begin(): void {
    this.#busy = true
    this.#taken++
    setImmediate(this.#turn)
  }

  // Runs after the event loop has looked for what arrived on its sockets.
  readonly #turn = (): void => {
    this.#busy = false
    for (const [owner, waiting] of this.#waiting) {
      const first = waiting.reduce((least, one) => (one.order < least.order ? one : least))
      this.#waiting.delete(owner)
      // Behind all others that wait.
      if (waiting.length > 1)
        this.#waiting.set(
          owner,
          waiting.filter((one) => one !== first),
        )
      this.#begin()
      first.go()
      return
    }
  }
}

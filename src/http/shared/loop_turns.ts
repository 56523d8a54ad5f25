/**
 * Turns for long work in JavaScript (lists, long JSON bodies), which is made in pieces. Each turn of the event loop makes two long pieces,
 * or some more short ones; then whatever else has arrived is served. So a small request waits for a few pieces at most, not for all lists
 * that were asked for before it, and a short list does not cost a turn of the loop of its own.
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
  /** Resolves when the next piece may be made. The piece counts as a long one unless `made` is called. */
  turn(): Promise<void>
  /** The piece became so many characters. */
  made(length: number): void
}

/** In characters, by which the time is estimated that pieces take: a clock would count what other processes take, too. */
const turnLength = 96 << 10
const longPieceLength = 48 << 10
/** What it takes to begin a piece, and to look up what it shows. */
const overheadLength = 4 << 10

export class LoopTurns {
  /** By owner; the owner whose turn is next comes first. */
  readonly #waiting = new Map<string, Waiting[]>()
  #begun = 0
  #taken = 0
  /** The turn of the event loop: pieces were begun in it when it is not `#ended`. */
  #turn = 1
  #ended = true
  #length = 0

  /** How many pieces were begun. */
  get taken(): number {
    return this.#taken
  }

  /** Works of this owner that wait for their turn. */
  waitingOf(owner: string): number {
    return this.#waiting.get(owner)?.length ?? 0
  }

  begin(owner: string): Work {
    const order = this.#begun++
    let turn = 0
    return {
      turn: async () => {
        if (this.#waiting.size > 0 || !this.#take()) await this.#wait(owner, order)
        turn = this.#turn
      },
      made: (length) => {
        // One that took longer than its turn has nothing to give back.
        if (turn === this.#turn) this.#length += Math.min(length + overheadLength, longPieceLength) - longPieceLength
        turn = 0
      },
    }
  }

  #wait(owner: string, order: number): Promise<void> {
    return new Promise((go) => {
      const waiting = this.#waiting.get(owner)
      if (waiting === undefined) this.#waiting.set(owner, [{ order, go }])
      else waiting.push({ order, go })
      setImmediate(this.#goOn)
    })
  }

  /** Begins a piece if there is room for it in this turn of the event loop. */
  #take(): boolean {
    if (this.#ended) {
      this.#ended = false
      setImmediate(this.#end)
    } else if (this.#length >= turnLength) {
      return false
    }
    this.#length += longPieceLength
    this.#taken++
    return true
  }

  // Immediates run after the event loop has looked for what arrived on its sockets; those that were set meanwhile run in its next turn.
  readonly #end = (): void => {
    this.#ended = true
    this.#length = 0
    this.#turn++
  }

  /** There is one immediate for each work that waits; between two of them the piece of the first one is made. */
  readonly #goOn = (): void => {
    if (this.#take()) this.#firstWaiting().go()
    else setImmediate(this.#goOn)
  }

  #firstWaiting(): Waiting {
    const [next] = this.#waiting
    if (next === undefined) throw new Error('no work waits for its turn')
    const [owner, waiting] = next
    const first = waiting.reduce((least, one) => (one.order < least.order ? one : least))
    this.#waiting.delete(owner)
    // Behind all others that wait.
    if (waiting.length > 1)
      this.#waiting.set(
        owner,
        waiting.filter((one) => one !== first),
      )
    return first
  }
}

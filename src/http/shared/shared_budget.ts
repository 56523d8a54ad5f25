/**
 * Bytes of memory that many owners share: projects, and the addresses of clients that are not logged in.
 *
 * An owner may hold at most as many bytes as are left free after it took them (the "dynamic thresholds" by which switches divide
 * their packet memory). One owner alone gets at most half of the budget; n owners that take all they can get an equal share of it each,
 * and one more such share stays free. So an owner that holds nothing finds room, whatever the others do.
 */

/** Bytes that one owner holds. */
export interface Share {
  /** Makes it so many bytes, which are in use already. */
  set(bytes: number): void
  /** Gives the bytes back. Idempotent. */
  release(): void
}

export class SharedBudget {
  readonly totalBytes: number
  readonly #heldOf = new Map<string, number>()
  #heldBytes = 0

  constructor(totalBytes: number) {
    this.totalBytes = totalBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  heldOf(owner: string): number {
    return this.#heldOf.get(owner) ?? 0
  }

  /** Returns undefined when the owner would hold more than is left free. */
  take(owner: string, bytes: number): Share | undefined {
    if (this.heldOf(owner) + bytes > this.totalBytes - this.#heldBytes - bytes) return undefined
    return this.hold(owner, bytes)
  }

  /** Like `take`, for bytes that are in use already: it is never refused, later requests are. */
  hold(owner: string, bytes: number): Share {
    this.#add(owner, bytes)
    let held = bytes
    let released = false
    return {
      set: (next) => {
        if (released) return
        this.#add(owner, next - held)
        held = next
      },
      release: () => {
        if (released) return
        released = true
        this.#add(owner, -held)
        held = 0
      },
    }
  }

  #add(owner: string, bytes: number): void {
    this.#heldBytes += bytes
    const held = this.heldOf(owner) + bytes
    if (held > 0) this.#heldOf.set(owner, held)
    else this.#heldOf.delete(owner)
  }
}

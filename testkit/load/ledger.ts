// ledger.ts: what must be there after a crash, and what must not, by what the server answered.
//
// A thing is present once its making was answered, absent once its deletion was, and unsure in between: whatever a
// restarted server says of an unsure thing is then the truth.
//
// On a recording disk (see power/) each change of state is kept with the disk's position, so that the ledger as of any
// earlier position can be had: what a power cut at that point had to keep.

type State = 'present' | 'absent' | 'unsure'

export class Ledger {
  readonly #what: string
  readonly #position: () => number
  readonly #states = new Map<string, State>()
  readonly #history: { position: number; name: string; state: State }[] = []

  /** `what`: a word for it, for the findings. `position`: of the recording disk. */
  constructor(what: string, position: () => number = () => 0) {
    this.#what = what
    this.#position = position
  }

  /** The names of what is there for certain. */
  get present(): string[] {
    return [...this.#states].filter(([, state]) => state === 'present').map(([name]) => name)
  }

  /** Runs a call that makes or deletes; when it rejects, nobody knows whether it happened. */
  async changes<Result>(name: string, to: 'present' | 'absent', call: () => Promise<Result>): Promise<Result> {
    this.#set(name, 'unsure')
    const result = await call()
    this.#set(name, to)
    return result
  }

  /** After a restart: `found` are the names that the server shows. Answers what is wrong, in words. */
  settle(found: Iterable<string>): string[] {
    const wrong: string[] = []
    const there = new Set(found)
    for (const [name, state] of this.#states) {
      if (state === 'present' && !there.has(name)) wrong.push(`${this.#what} ${name} was answered and is gone`)
      if (state === 'absent' && there.has(name)) wrong.push(`${this.#what} ${name} was deleted and is there`)
      this.#set(name, there.has(name) ? 'present' : 'absent')
    }
    for (const name of there) if (!this.#states.has(name)) wrong.push(`${this.#what} ${name} was never made`)
    return wrong
  }

  /** As it was when the disk had this position. */
  at(position: number): Ledger {
    const then = new Ledger(this.#what)
    for (const change of this.#history) {
      if (change.position > position) break
      then.#states.set(change.name, change.state)
    }
    return then
  }

  #set(name: string, state: State): void {
    this.#states.set(name, state)
    this.#history.push({ position: this.#position(), name, state })
  }
}

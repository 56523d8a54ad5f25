// ledger.ts: what must be there after a crash, and what must not, by what the server answered.
//
// A thing is present once its making was answered, absent once its deletion was, and unsure in between: whatever a
// restarted server says of an unsure thing is then the truth.

export class Ledger {
  readonly #what: string
  readonly #states = new Map<string, 'present' | 'absent' | 'unsure'>()

  /** `what`: a word for it, for the findings. */
  constructor(what: string) {
    this.#what = what
  }

  /** The names of what is there for certain. */
  get present(): string[] {
    return [...this.#states].filter(([, state]) => state === 'present').map(([name]) => name)
  }

  /** Runs a call that makes or deletes; when it rejects, nobody knows whether it happened. */
  async changes<Result>(name: string, to: 'present' | 'absent', call: () => Promise<Result>): Promise<Result> {
    this.#states.set(name, 'unsure')
    const result = await call()
    this.#states.set(name, to)
    return result
  }

  /** After a restart: `found` are the names that the server shows. Answers what is wrong, in words. */
  settle(found: Iterable<string>): string[] {
    const wrong: string[] = []
    const there = new Set(found)
    for (const [name, state] of this.#states) {
      if (state === 'present' && !there.has(name)) wrong.push(`${this.#what} ${name} was answered and is gone`)
      if (state === 'absent' && there.has(name)) wrong.push(`${this.#what} ${name} was deleted and is there`)
      this.#states.set(name, there.has(name) ? 'present' : 'absent')
    }
    for (const name of there) if (!this.#states.has(name)) wrong.push(`${this.#what} ${name} was never made`)
    return wrong
  }
}

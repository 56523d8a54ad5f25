// cleanup.ts: what a test registers with tap's `teardown`, for code that also runs outside of a test.

export class Cleanup {
  readonly #steps: (() => unknown)[] = []

  teardown(step: () => unknown): void {
    this.#steps.push(step)
  }

  /** The last one first; each of them, whatever becomes of the others. Throws what went wrong first. */
  async run(): Promise<void> {
    const errors: unknown[] = []
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }
}

// writer.ts: load_writer.py as a child that obeys: it writes until the server dies, and judges the server that comes back.

import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

export interface LoadResult {
  /** The connections died; otherwise the time was up. */
  died: boolean
  answered: number
  flushes: number
  /** Errors that the server answered. */
  failed: string[]
}

export interface Verdict {
  sectors: number
  badCount: number
  /** The first ones, in words. */
  bad: string[]
}

export interface WriterOptions {
  sizeBytes: number
  /** The same seed writes the same to the same places. */
  seed: string
  /** How many places it writes to; 600 unless told. */
  places?: number
  /** Of the recording disk under the server: then `verifyAt` can judge power cuts. */
  positionFile?: string
}

export class Writer {
  readonly #process
  readonly #answers: AsyncIterator<string>

  constructor({ sizeBytes, seed, places, positionFile }: WriterOptions) {
    const script = fileURLToPath(new URL('load_writer.py', import.meta.url))
    const options = [
      ...(places === undefined ? [] : ['--places', String(places)]),
      ...(positionFile === undefined ? [] : ['--position', positionFile]),
    ]
    // Debian's own Python: libnbd's binding is installed there.
    this.#process = execa('/usr/bin/python3', [script, String(sizeBytes), seed, ...options], {
      stdin: 'pipe',
      buffer: { stdout: false },
      reject: false,
    })
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
  }

  /** Resolves when requests are under way; `ended` resolves when the connections have died or the time is up. */
  async load(uri: string, limitS: number): Promise<{ ended: Promise<LoadResult> }> {
    this.#send({ do: 'load', uri, limit_s: limitS })
    await this.#answer()
    return { ended: this.#answer() as Promise<unknown> as Promise<LoadResult> }
  }

  /** Reads all that was ever written. `whole`: and that everything else reads as zeros. */
  async verify(uri: string, { whole = false } = {}): Promise<Verdict> {
    return this.#verdict({ uri, whole })
  }

  /** What a power cut at this position of the recording disk left. The positions of one writer never fall. */
  async verifyAt(position: number, uri: string): Promise<Verdict> {
    return this.#verdict({ uri, whole: false, at: position })
  }

  async #verdict(question: object): Promise<Verdict> {
    this.#send({ do: 'verify', ...question })
    const { sectors, bad_count, bad } = (await this.#answer()) as { sectors: number; bad_count: number; bad: string[] }
    return { sectors, badCount: bad_count, bad }
  }

  /** SHA-256 of the places that are written to, in another export: a snapshot or a clone. */
  async digest(uri: string): Promise<string> {
    this.#send({ do: 'digest', uri })
    return (await this.#answer())['sha256'] as string
  }

  /** Also right when it has ended. */
  async end(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#process
  }

  #send(command: object): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`)
  }

  async #answer(): Promise<Record<string, unknown>> {
    const { done, value } = await this.#answers.next()
    if (done) throw new Error(`the writer ended: ${(await this.#process).stderr}`)
    const answer = JSON.parse(value)
    if (answer.error !== undefined) throw new Error(`the writer: ${answer.error}`)
    return answer
  }
}

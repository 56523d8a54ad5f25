/** A range of a resource as a Readable: pieces of 1 MiB, one of them read ahead, none before somebody asks. */

import { Readable } from 'node:stream'
import { asError } from '../lib/errors.js'
import { MiB } from '../lib/units.js'

const pieceBytes = MiB

interface Reader {
  read(offset: number, length: number): Promise<Buffer>
}

export class ResourceReadable extends Readable {
  readonly #reader: Reader
  readonly #end: number
  #next: number

  constructor(reader: Reader, { start, end }: { start: number; end: number }) {
    super({ highWaterMark: pieceBytes })
    this.#reader = reader
    this.#next = start
    this.#end = end
  }

  override _read(): void {
    if (this.#next >= this.#end) {
      this.push(null)
      return
    }
    const offset = this.#next
    // Pieces end at multiples of their size, so that a stream that starts anywhere soon reads whole regions' parts.
    const length = Math.min(pieceBytes - (offset % pieceBytes), this.#end - offset)
    this.#next += length
    this.#reader.read(offset, length).then(
      (piece) => void this.push(piece),
      (error: unknown) => this.destroy(asError(error)),
    )
  }
}

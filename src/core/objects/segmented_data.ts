/**
 * Parts of several resources, read one after the other as if they were one.
 *
 * Invariant: the parts of a range are opened together before its first byte is read. So what is deleted or replaced while it is read
 * is read to its end all the same.
 */

import { Readable } from 'node:stream'
import { Cancelled } from '../../addon/errors.js'
import type { ReadHandle } from '../../engine/readers.js'
import type { ByteRange, DirectData, OpenData, Sending } from '../tree/open_data.js'

interface OpenPart {
  handle: ReadHandle
  range: ByteRange
}

/** Of an open resource, or bytes that are at hand. */
export type Piece = OpenPart | { bytes: Buffer }

/** Finds the pieces of a range, and opens their resources by `open`, which opens each of them once. */
export type FindPieces = (range: ByteRange, open: (part: Part) => Promise<ReadHandle>) => Promise<Piece[]>

/** Opens a resource under a key. */
export interface Part {
  key: string
  open: () => Promise<ReadHandle>
}

export class SegmentedData implements OpenData {
  readonly #find: FindPieces
  readonly #handles = new Map<string, ReadHandle>()
  readonly #pieces = new Map<string, Piece[]>()
  #closed = false

  constructor(find: FindPieces) {
    this.#find = find
  }

  /** Must resolve before one of the ranges is read. Throws what `find` throws. */
  async prepare(ranges: readonly ByteRange[]): Promise<void> {
    for (const range of ranges) this.#pieces.set(keyOf(range), await this.#find(range, (part) => this.#open(part)))
  }

  read(range?: ByteRange): Readable {
    return Readable.from(bytesOf(this.#piecesOf(range)), { objectMode: false })
  }

  /** Only where every prepared byte is with the engine. */
  get direct(): DirectData | undefined {
    const all = [...this.#pieces.values()].flat()
    if (!all.every(isPart)) return undefined
    return {
      send: (fd, head, range, isOpen) =>
        new SegmentedSending(this.#piecesOf(range) as OpenPart[], { fd, head, isOpen }),
    }
  }

  close(): void {
    this.#closed = true
    for (const handle of this.#handles.values()) handle.end()
    this.#handles.clear()
  }

  async #open({ key, open }: Part): Promise<ReadHandle> {
    const known = this.#handles.get(key)
    if (known !== undefined) return known
    const handle = await open()
    if (this.#closed) {
      handle.end()
      throw new Cancelled('the data was closed')
    }
    this.#handles.set(key, handle)
    return handle
  }

  #piecesOf(range: ByteRange | undefined): Piece[] {
    const pieces = range === undefined ? undefined : this.#pieces.get(keyOf(range))
    if (pieces === undefined) throw new Error('the range was not prepared')
    return pieces
  }
}

const keyOf = ({ start, end }: ByteRange): string => `${start}-${end}`

const isPart = (piece: Piece): piece is OpenPart => 'handle' in piece

async function* bytesOf(pieces: readonly Piece[]): AsyncGenerator<Buffer, void, void> {
  for (const piece of pieces) {
    if (isPart(piece)) yield* piece.handle.stream(piece.range)
    else yield piece.bytes
  }
}

interface Destination {
  fd: number
  head: string
  isOpen: () => boolean
}

/** One part after the other to the same socket. */
class SegmentedSending implements Sending {
  readonly sent: Promise<void>
  #current: Sending
  #sentBefore = false
  #cancelled = false

  /** Throws as the first part's `send` does; then nothing was sent. */
  constructor([first, ...others]: readonly OpenPart[], to: Destination) {
    if (first === undefined) throw new Error('there is nothing to send')
    this.#current = first.handle.send(to.fd, to.head, first.range)
    this.sent = this.#sendAll(others, to)
  }

  began(): boolean {
    return this.#sentBefore || this.#current.began()
  }

  cancel(): void {
    this.#cancelled = true
    this.#current.cancel()
  }

  waitedMs(): number {
    return this.#current.waitedMs()
  }

  async #sendAll(others: readonly OpenPart[], { fd, isOpen }: Destination): Promise<void> {
    await this.#current.sent
    for (const { handle, range } of others) {
      this.#sentBefore = true
      // The number of a socket that was closed meanwhile may be another one's by now.
      if (this.#cancelled || !isOpen()) throw new Cancelled('the client is gone')
      this.#current = handle.send(fd, '', range)
      await this.#current.sent
    }
  }
}

/**
 * Uploads: bytes from a stream into a new layer. The engine takes at once what it has room for; while it has none, nothing is
 * requested from the source (back-pressure). A failed upload leaves nothing.
 */

import type { NativeIngestResult as IngestResult, NativeUploads } from '../addon/contract/uploads.js'
import { Cancelled, fromNative, native } from '../addon/errors.js'
import type { LayerId } from '../lib/ids.js'

export type { IngestResult }

/**
 * A source that pushes: it calls `take` with one piece after another, and waits for the promise if `take` returns one. Resolves when
 * every piece was taken; rejects when it cannot continue, or with the error of `take`.
 */
export type ByteFeed = (take: (piece: Uint8Array) => Promise<void> | undefined) => Promise<void>

/** The bytes of an upload: a Readable, any async iterable, or a feed. Pieces must not change once they were given. */
export type ByteSource = AsyncIterable<Uint8Array> | ByteFeed

export interface IngestOptions {
  layer: LayerId
  /** Compute the SHA-256 of all bytes, whatever their number. */
  sha256?: boolean | undefined
  /** Called with the number of all bytes so far before each piece is stored; its error ends the upload. */
  judge?: ((totalBytes: number) => void) | undefined
  /** Called when everything has arrived and nothing is final yet; its error ends the upload. */
  judgeEnd?: ((totalBytes: number) => void) | undefined
  signal?: AbortSignal | undefined
}

export class Uploads {
  readonly #native: NativeUploads

  constructor(uploads: NativeUploads) {
    this.#native = uploads
  }

  async ingest(
    source: ByteSource,
    { layer, sha256 = false, judge, judgeEnd, signal }: IngestOptions,
  ): Promise<IngestResult> {
    const upload = new Upload(this.#native, layer, sha256)
    let totalBytes = 0
    const take = (piece: Uint8Array): Promise<void> | undefined => {
      if (signal?.aborted) throw cancelled()
      totalBytes += piece.byteLength
      judge?.(totalBytes)
      return upload.write(piece)
    }
    try {
      if (typeof source === 'function') await unlessAborted(source(take), signal)
      else for await (const piece of abortable(source, signal)) await take(piece)
      judgeEnd?.(totalBytes)
      return await upload.finish()
    } catch (error) {
      await upload.abort()
      throw error
    }
  }
}

const smallBytesMax = 64 * 1024
const smallPiecesMax = 16

/** One upload. A small one is collected here and stored by one call of the engine. */
class Upload {
  readonly #native: NativeUploads
  readonly #layer: LayerId
  readonly #sha256: boolean
  #small: Uint8Array[] = []
  #smallBytes = 0
  #handle: number | undefined

  constructor(uploads: NativeUploads, layer: LayerId, sha256: boolean) {
    this.#native = uploads
    this.#layer = layer
    this.#sha256 = sha256
  }

  write(piece: Uint8Array): Promise<void> | undefined {
    if (piece.byteLength === 0) return undefined
    if (this.#handle !== undefined) return this.#store(this.#handle, piece)
    if (this.#smallBytes + piece.byteLength <= smallBytesMax && this.#small.length < smallPiecesMax) {
      this.#small.push(piece)
      this.#smallBytes += piece.byteLength
      return undefined
    }
    this.#handle = this.#native.start(this.#layer, { sha256: this.#sha256 })
    const before = this.#small
    this.#small = []
    // The first chunk has room for these, so there is no promise to await.
    for (const each of before) void this.#store(this.#handle, each)
    return this.#store(this.#handle, piece)
  }

  #store(handle: number, piece: Uint8Array): Promise<void> | undefined {
    try {
      const room = this.#native.write(handle, piece)
      return room && native(() => room)
    } catch (error) {
      throw fromNative(error)
    }
  }

  async finish(): Promise<IngestResult> {
    const handle = this.#handle
    if (handle !== undefined) return native(() => this.#native.finish(handle))
    const [only = new Uint8Array(0)] = this.#small
    const bytes = this.#small.length > 1 ? Buffer.concat(this.#small) : only
    return native(() => this.#native.whole(this.#layer, bytes))
  }

  /** Allowed after a failed `finish`. */
  async abort(): Promise<void> {
    const handle = this.#handle
    if (handle !== undefined) await native(() => this.#native.abort(handle))
  }
}

const cancelled = () => new Cancelled('the upload was aborted')

/** Rejects if the signal aborts first. The feed notices when it has its next piece. */
function unlessAborted(feeding: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return feeding
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(cancelled())
    signal.addEventListener('abort', onAbort, { once: true })
    feeding.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** The source, except that a wait for its next piece ends when the signal aborts. */
async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  // One listener and one slot: a promise of the abort, raced against each piece, would retain every race.
  let giveUp: ((error: Error) => void) | undefined
  const onAbort = () => giveUp?.(cancelled())
  signal?.addEventListener('abort', onAbort)
  let ended = false
  try {
    for (;;) {
      if (signal?.aborted) throw cancelled()
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        giveUp = reject
        iterator.next().then(resolve, reject)
      })
      if (next.done) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    // A Readable is destroyed by this. Not awaited: a generator that hangs in its own wait would hang us too.
    if (!ended) iterator.return?.()?.then(undefined, () => undefined)
  }
}

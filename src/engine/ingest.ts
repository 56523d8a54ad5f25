/**
 * Bytes from a stream into a new layer. The engine takes what it has room for at once; when it has none, nothing is asked of the
 * source before it has: that is the back-pressure. Whatever goes wrong, nothing of the upload stays.
 */

import type { LayerId } from '../lib/ids.js'
import { Cancelled, fromNative, native } from '../addon/errors.js'
import type { NativeEngine, NativeIngestResult } from '../addon/contract.js'

/**
 * A source that pushes: calls `take` with one piece after the other. When that answers a promise, it waits for it before the next call.
 * Resolves when all has been taken; rejects when it cannot go on, or with what `take` threw or rejected with.
 */
export type ByteFeed = (take: (piece: Uint8Array) => Promise<void> | undefined) => Promise<void>

/** Bytes on their way in: a Readable, any async iterable, or a feed. What was given is not changed afterwards. */
export type ByteSource = AsyncIterable<Uint8Array> | ByteFeed

export interface IngestOptions {
  layer: LayerId
  /** SHA-256 of all the bytes, whatever it costs. */
  sha256?: boolean | undefined
  /** Called with the count of all bytes so far before each piece is stored; what it throws ends the upload. */
  judge?: ((totalBytes: number) => void) | undefined
  /** Called when everything has arrived and nothing is final yet; what it throws ends the upload. */
  judgeEnd?: ((totalBytes: number) => void) | undefined
  signal?: AbortSignal | undefined
}

export async function ingest(
  engine: NativeEngine,
  source: ByteSource,
  { layer, sha256 = false, judge, judgeEnd, signal }: IngestOptions,
): Promise<NativeIngestResult> {
  const upload = new Upload(engine, layer, sha256)
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

const smallBytesMax = 64 * 1024
const smallPiecesMax = 16

/** What is small waits here until its end, and is then one call of the engine. */
class Upload {
  readonly #engine: NativeEngine
  readonly #layer: LayerId
  readonly #sha256: boolean
  #small: Uint8Array[] = []
  #smallBytes = 0
  #handle: number | undefined

  constructor(engine: NativeEngine, layer: LayerId, sha256: boolean) {
    this.#engine = engine
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
    this.#handle = this.#engine.ingestStart(this.#layer, { sha256: this.#sha256 })
    const before = this.#small
    this.#small = []
    // The first chunk has room for these: no promise.
    for (const each of before) void this.#store(this.#handle, each)
    return this.#store(this.#handle, piece)
  }

  #store(handle: number, piece: Uint8Array): Promise<void> | undefined {
    try {
      const room = this.#engine.ingestWrite(handle, piece)
      return room && native(() => room)
    } catch (error) {
      throw fromNative(error)
    }
  }

  async finish(): Promise<NativeIngestResult> {
    const handle = this.#handle
    if (handle !== undefined) return native(() => this.#engine.ingestFinish(handle))
    const [only = new Uint8Array(0)] = this.#small
    const bytes = this.#small.length > 1 ? Buffer.concat(this.#small) : only
    return native(() => this.#engine.ingestWhole(this.#layer, bytes))
  }

  /** Also after a finish that failed. */
  async abort(): Promise<void> {
    const handle = this.#handle
    if (handle !== undefined) await native(() => this.#engine.ingestAbort(handle))
  }
}

const cancelled = () => new Cancelled('the upload was aborted')

/** Rejects when the signal comes first. The feed learns of it when it has a piece. */
function unlessAborted(feeding: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return feeding
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(cancelled())
    signal.addEventListener('abort', onAbort, { once: true })
    feeding.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** The source, but a wait for its next piece ends when the signal comes. */
async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  // One listener and one slot: a promise of the abort that is raced against each piece would remember every race.
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

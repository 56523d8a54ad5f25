/**
 * Bytes from a stream into a new layer. The engine's `ingestWrite` resolves when it can take more: that is the
 * back-pressure, since nothing is asked of the source before. Whatever goes wrong, nothing of the upload stays.
 */

import type { LayerId } from '../lib/ids.js'
import { Cancelled, native } from './errors.js'
import type { NativeEngine, NativeIngestResult } from './native.js'

export interface IngestOptions {
  layer: LayerId
  /** Called with the count of all bytes so far before each piece is stored; what it throws ends the upload. */
  judge?: ((totalBytes: number) => void) | undefined
  /** Called when everything has arrived and nothing is final yet; what it throws ends the upload. */
  judgeEnd?: ((totalBytes: number) => void) | undefined
  signal?: AbortSignal | undefined
}

export async function ingest(
  engine: NativeEngine,
  source: AsyncIterable<Uint8Array>,
  { layer, judge, judgeEnd, signal }: IngestOptions,
): Promise<NativeIngestResult> {
  const handle = engine.ingestStart(layer)
  try {
    let totalBytes = 0
    for await (const piece of abortable(source, signal)) {
      totalBytes += piece.byteLength
      judge?.(totalBytes)
      if (piece.byteLength > 0) await native(() => engine.ingestWrite(handle, piece))
    }
    judgeEnd?.(totalBytes)
    return await native(() => engine.ingestFinish(handle))
  } catch (error) {
    await native(() => engine.ingestAbort(handle))
    throw error
  }
}

/** The source, but a wait for its next piece ends when the signal comes. */
async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  // One listener and one slot: a promise of the abort that is raced against each piece would remember every race.
  let giveUp: ((error: Error) => void) | undefined
  const cancelled = () => new Cancelled('the upload was aborted')
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

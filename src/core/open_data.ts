/** The bytes of an object or an image, opened for reading. */

import { Readable } from 'node:stream'
import type { Lease, Sending } from '../engine/lease.js'
import type { ResourceId } from '../lib/ids.js'
import type { Tree } from './tree.js'

export type { Sending }

export interface ByteRange {
  start: number
  /** The byte behind the last. */
  end: number
}

export type DirectData = Pick<Lease, 'cork' | 'send'>

export interface OpenData {
  /** All of the bytes, where they are few and at hand: then nothing is open. Not to be changed. */
  whole?: Buffer
  /**
   * The bytes of the range (all of it by default), with back-pressure; may be called several times (multipart ranges).
   * What is deleted or replaced meanwhile is read to its end all the same.
   */
  read(range?: ByteRange): Readable
  /** The same bytes to a socket, past JavaScript, where they are with the engine. */
  direct?: DirectData | undefined
  /** Must be called when no stream is read any more (a stream's end does not do it). Idempotent. */
  close(): Promise<void>
}

/** What was read as a whole. */
export function openBytes(whole: Buffer): OpenData {
  return {
    whole,
    read: ({ start, end } = { start: 0, end: whole.length }) =>
      Readable.from(end > start ? [whole.subarray(start, end)] : []),
    close: async () => undefined,
  }
}

export async function openData(
  tree: Tree,
  { resourceId, sizeBytes }: { resourceId: ResourceId; sizeBytes: number },
): Promise<OpenData> {
  // Nothing to read: no lease either. It must still be there, as for any other size.
  const lease: Lease | undefined = sizeBytes === 0 ? undefined : await tree.lease(resourceId)
  return {
    direct: lease,
    read: (range) => (lease === undefined ? Readable.from([]) : lease.stream(range ?? { start: 0, end: sizeBytes })),
    close: async () => lease?.close(),
  }
}

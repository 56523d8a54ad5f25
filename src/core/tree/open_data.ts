/** The bytes of an object or an image, opened for reading. */

import { Readable } from 'node:stream'
import type { ByteRange, Sending } from '../../engine/readers.js'
import type { ResourceId } from '../../lib/ids.js'
import { KeepsChanging, ResourceNotFound } from '../model/errors.js'
import type { Tree } from './tree.js'

export type { ByteRange, Sending }

export interface DirectData {
  /** See ReadHandle. `isOpen`: `fd` is still the socket's; asked before anything more is sent to it. */
  send(fd: number, head: string, range: ByteRange, isOpen: () => boolean): Sending
}

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
  close(): void
}

/** A name that is given other data this often in a row, while it is being opened, is under attack. */
const openTriesMax = 16

/**
 * Reads the catalog and opens what it names, by `open`; and once more when that was replaced or deleted in between, because
 * the next look tells which. Throws KeepsChanging after some tries.
 */
export async function openCurrent<T>(name: string, open: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < openTriesMax; tries++) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof ResourceNotFound)) throw error
    }
  }
  throw new KeepsChanging(name)
}

/** What was read as a whole. */
export function openBytes(whole: Buffer): OpenData {
  return {
    whole,
    read: ({ start, end } = { start: 0, end: whole.length }) =>
      Readable.from(end > start ? [whole.subarray(start, end)] : []),
    close: () => undefined,
  }
}

/** Throws ResourceNotFound. */
export async function openData(
  tree: Tree,
  { resourceId, sizeBytes }: { resourceId: ResourceId; sizeBytes: number },
): Promise<OpenData> {
  const handle = await tree.readHandle(resourceId)
  return {
    direct: handle,
    read: (range) => handle.stream(range ?? { start: 0, end: sizeBytes }),
    close: () => handle.end(),
  }
}

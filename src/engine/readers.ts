/**
 * Read handles: read-only resources, each opened for one reader. Neither `open` nor `end` makes a trip to another thread, so handles
 * suit what is read once. To write to a resource, or to ask for more than its bytes, take a lease (lease.ts).
 *
 * Invariants
 *   1. Until `end`, and until the calls begun before it have completed, the engine keeps the bytes unchanged.
 *   2. No call begins after `end`.
 */

import type { NativeReaders, NativeReadHandle, NativeSending } from '../addon/contract/readers.js'
import { fromNative, native } from '../addon/errors.js'
import { ResourceReadable } from './read_stream.js'
import type { ResourceSpec } from './spec.js'

export interface ByteRange {
  start: number
  /** The offset after the last byte. */
  end: number
}

/** A transfer to a client. */
export interface Sending {
  /** Rejects with Cancelled if the client is gone. */
  sent: Promise<void>
  /** True if any byte may have been sent: the head, if anything. */
  began(): boolean
  /** Ends the connection; `sent` settles soon. */
  cancel(): void
  /** How long the client has accepted no byte that was offered to it; 0 while nothing waits for it. */
  waitedMs(): number
}

export class Readers {
  readonly #native: NativeReaders

  constructor(readers: NativeReaders) {
    this.#native = readers
  }

  /** Opens a read-only resource for one reader, who ends it. Throws EngineInvalid. */
  open(spec: ResourceSpec): ReadHandle {
    return new ReadHandle(this.#native, spec)
  }
}

export class ReadHandle {
  readonly #native: NativeReaders
  readonly #handle: NativeReadHandle

  /** Throws EngineInvalid unless the resource is read-only. */
  constructor(readers: NativeReaders, spec: ResourceSpec) {
    this.#native = readers
    this.#handle = synchronous(() => readers.begin(spec))
  }

  read(offset: number, length: number): Promise<Buffer> {
    return native(() => this.#native.read(this.#handle, offset, length))
  }

  /** Returns the bytes of the range as a stream, read as fast as they are consumed. */
  stream(range: ByteRange): ResourceReadable {
    return new ResourceReadable(this, range)
  }

  /**
   * Sends a head and the range to the socket `fd` without passing the bytes through JavaScript. Nobody else may write to the socket
   * until `sent` settles. Throws EngineBusy if the process has no descriptor left, EngineInvalid unless `fd` is a non-blocking
   * socket; then nothing was sent.
   */
  send(fd: number, head: string, { start, end }: ByteRange): Sending {
    const { socket, sent } = synchronous<NativeSending>(() =>
      this.#native.send(this.#handle, fd, start, end - start, Buffer.from(head, 'latin1')),
    )
    return {
      sent: native(() => sent),
      began: () => this.#native.sendBegan(socket),
      cancel: () => this.#native.cancelSend(socket),
      waitedMs: () => this.#native.sendWaitedMs(socket),
    }
  }

  /** Idempotent. */
  end(): void {
    this.#native.end(this.#handle)
  }
}

function synchronous<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

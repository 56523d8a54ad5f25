/**
 * A read-only resource, opened for one reader. Neither to begin nor to end makes a trip to another thread: it is for what is read
 * once. What is changed, or asked for more than its bytes, is leased (lease.ts).
 *
 * Invariants
 *   1. Until `end`, and until what was begun before it has ended, the engine keeps the bytes as they are.
 *   2. Nothing begins after `end`.
 */

import { fromNative, native } from '../addon/errors.js'
import type { NativeEngine, NativeReading, NativeSending } from '../addon/contract.js'
import { ResourceReadable } from './read_stream.js'
import type { ResourceSpec } from './spec.js'

export interface ByteRange {
  start: number
  /** The byte behind the last. */
  end: number
}

/** Bytes under way to a client. */
export interface Sending {
  /** Rejects with Cancelled when the client is gone. */
  sent: Promise<void>
  /** Perhaps something was sent: the head, if anything. */
  began(): boolean
  /** Ends the connection; `sent` is settled soon. */
  cancel(): void
  /** For how long the client has taken nothing of what it is offered; 0 while it is not waited for. */
  waitedMs(): number
}

export class Reading {
  readonly #engine: NativeEngine
  readonly #reading: NativeReading

  /** Throws EngineInvalid for what is not read-only. */
  constructor(engine: NativeEngine, spec: ResourceSpec) {
    this.#engine = engine
    this.#reading = atOnce(() => engine.readingBegin(spec))
  }

  read(offset: number, length: number): Promise<Buffer> {
    return native(() => this.#engine.readingRead(this.#reading, offset, length))
  }

  /** The bytes of the range, read as fast as they are taken. */
  stream(range: ByteRange): ResourceReadable {
    return new ResourceReadable(this, range)
  }

  /**
   * Sends the range to a socket, past JavaScript, behind a head that goes out along with its first bytes: to its descriptor, on which nobody else writes meanwhile. Throws EngineBusy when the
   * process has no descriptor left, EngineInvalid for what is no non-blocking socket; then nothing was sent.
   */
  send(fd: number, head: string, { start, end }: ByteRange): Sending {
    const { socket, sent } = atOnce<NativeSending>(() =>
      this.#engine.readingSend(this.#reading, fd, start, end - start, Buffer.from(head, 'latin1')),
    )
    return {
      sent: native(() => sent),
      began: () => this.#engine.sendBegan(socket),
      cancel: () => this.#engine.sendCancel(socket),
      waitedMs: () => this.#engine.sendWaitedMs(socket),
    }
  }

  /** Idempotent. */
  end(): void {
    this.#engine.readingEnd(this.#reading)
  }
}

function atOnce<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

/**
 * An open resource, held by this process (NBD connections hold leases of their own).
 *
 * Invariants
 *   1. One lease is one `open` and one `close` of the engine.
 *   2. `close` waits for the calls that are under way; none begins afterwards.
 */

import type { ResourceId } from '../lib/ids.js'
import { EngineNotFound, fromNative, native } from './errors.js'
import type { NativeChange, NativeEngine, NativeExtent, NativeSending } from './native.js'
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
  /** Ends the connection; `sent` is settled soon. */
  cancel(): void
  /** For how long the client has taken nothing of what it is offered; 0 while it is not waited for. */
  waitedMs(): number
}

export class Lease {
  readonly resourceId: ResourceId
  /** As it was when the lease was taken. */
  readonly sizeBytes: number
  readonly #engine: NativeEngine
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(engine: NativeEngine, spec: ResourceSpec) {
    this.#engine = engine
    this.resourceId = spec.id
    this.sizeBytes = spec.sizeBytes
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#run(() => this.#engine.read(this.resourceId, offset, length))
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#run(() => this.#engine.write(this.resourceId, offset, data))
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#run(() => this.#engine.writeZeroes(this.resourceId, offset, length))
  }

  trim(offset: number, length: number): Promise<void> {
    return this.#run(() => this.#engine.trim(this.resourceId, offset, length))
  }

  flush(): Promise<void> {
    return this.#run(() => this.#engine.flush(this.resourceId))
  }

  extents(offset: number, length: number, max: number): Promise<NativeExtent[]> {
    return this.#run(() => this.#engine.extents(this.resourceId, offset, length, max))
  }

  /**
   * What of the range may differ from what `base` has there (zeros beyond its end), from records alone: what was written
   * counts though its bytes may be equal, never the reverse. Runs from `offset` on; they may end early, and then the
   * question is asked again from there. Throws EngineInvalid when the two have no layer in common.
   */
  diff(base: Lease, offset: number, length: number, max: number): Promise<NativeChange[]> {
    return this.#run(() => base.#run(() => this.#engine.diff(this.resourceId, base.resourceId, offset, length, max)))
  }

  /** The bytes of the range, read as fast as they are taken. */
  stream(range: ByteRange = { start: 0, end: this.sizeBytes }): ResourceReadable {
    return new ResourceReadable(this, range)
  }

  /**
   * Sends the range to a socket, past JavaScript: to its descriptor, on which nobody else writes meanwhile. Throws EngineBusy when the
   * process has no descriptor left, EngineInvalid for what is no non-blocking socket; then nothing was sent.
   */
  send(fd: number, { start, end }: ByteRange): Sending {
    if (this.#closing) throw this.#closed()
    const { socket, sent } = this.#sendNow(fd, start, end - start)
    return {
      sent: this.#run(() => sent),
      cancel: () => this.#engine.sendCancel(socket),
      waitedMs: () => this.#engine.sendWaitedMs(socket),
    }
  }

  /** What is written to the socket next, a head, goes out along with the first bytes of `send`, or after 200 ms. */
  cork(fd: number): void {
    this.#engine.sendCork(fd)
  }

  #sendNow(fd: number, offset: number, length: number): NativeSending {
    try {
      return this.#engine.send(this.resourceId, fd, offset, length)
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running)
    await native(() => this.#engine.close(this.resourceId))
  }

  #closed(): Error {
    return new EngineNotFound(`the lease on ${this.resourceId} is closed`)
  }

  #run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closing) return Promise.reject(this.#closed())
    const running = native(call)
    this.#running.add(running)
    const done = () => void this.#running.delete(running)
    running.then(done, done)
    return running
  }
}

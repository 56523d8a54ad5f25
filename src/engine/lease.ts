/**
 * An open resource, held by this process (NBD connections hold leases of their own).
 *
 * Invariants
 *   1. One lease is one `open` and one `close` of the engine.
 *   2. `close` waits for the calls that are under way; none begins afterwards.
 */

import type { ResourceId } from '../lib/ids.js'
import { EngineNotFound, native } from '../addon/errors.js'
import type { NativeChange, NativeEngine, NativeExtent } from '../addon/contract.js'
import type { ResourceSpec } from './spec.js'

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

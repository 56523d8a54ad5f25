/**
 * A lease of an open resource, held by this process. NBD connections hold leases of their own.
 *
 * Invariants
 *   1. One lease is one `open` and one `close` of the engine.
 *   2. `close` waits for the calls in flight; none begins afterwards.
 */

import type { NativeChange as Change, NativeResources } from '../addon/contract/resources.js'
import { EngineNotFound, native } from '../addon/errors.js'
import type { ResourceId } from '../lib/ids.js'
import type { ResourceSpec } from './spec.js'

export class Lease {
  readonly resourceId: ResourceId
  /** As of when the lease was taken. */
  readonly sizeBytes: number
  readonly #native: NativeResources
  readonly #running = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(resources: NativeResources, spec: ResourceSpec) {
    this.#native = resources
    this.resourceId = spec.id
    this.sizeBytes = spec.sizeBytes
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#run(() => this.#native.read(this.resourceId, offset, length))
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#run(() => this.#native.write(this.resourceId, offset, data))
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#run(() => this.#native.writeZeroes(this.resourceId, offset, length))
  }

  flush(): Promise<void> {
    return this.#run(() => this.#native.flush(this.resourceId))
  }

  /**
   * Returns which runs of the range may differ from the same range of `base` (zeros beyond its end). Only records are compared:
   * written bytes count as changed even if they are equal; changed bytes are never missed. The runs start at `offset` and may end
   * early; ask again from there. Throws EngineInvalid if the two have no layer in common.
   */
  diff(base: Lease, offset: number, length: number, max: number): Promise<Change[]> {
    return this.#run(() => base.#run(() => this.#native.diff(this.resourceId, base.resourceId, offset, length, max)))
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running)
    await native(() => this.#native.close(this.resourceId))
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

/** Resources of the engine: leases, quiesce and resume, sizes. */

import type { NativeResources } from '../addon/contract/resources.js'
import { native } from '../addon/errors.js'
import type { ResourceId } from '../lib/ids.js'
import { Lease } from './lease.js'
import type { Chain, ResourceSpec } from './spec.js'

export class Resources {
  readonly #native: NativeResources

  constructor(resources: NativeResources) {
    this.#native = resources
  }

  async lease(spec: ResourceSpec): Promise<Lease> {
    await native(() => this.#native.open(spec))
    return new Lease(this.#native, spec)
  }

  /** Takes a lease that an NBD connection will return. */
  async openFor(spec: ResourceSpec): Promise<void> {
    await native(() => this.#native.open(spec))
  }

  /** Returns a lease of `openFor` that no connection took over. */
  closeFor(resource: ResourceId): Promise<void> {
    return native(() => this.#native.close(resource))
  }

  /** True while a lease or a read handle is held. */
  isOpen(resource: ResourceId): boolean {
    return this.#native.isOpen(resource)
  }

  flush(resource: ResourceId): Promise<void> {
    return native(() => this.#native.flush(resource))
  }

  /** Holds the writes to an open resource until `resume`. Returns false if it is not open. */
  quiesce(resource: ResourceId): Promise<boolean> {
    return native(() => this.#native.quiesce(resource))
  }

  resume(resource: ResourceId, spec: { sizeBytes: number; layers: Chain }): Promise<void> {
    return native(() => this.#native.resume(resource, spec))
  }
}

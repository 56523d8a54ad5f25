/** Resources: leases, input and output, quiesce and resume. native/node/objects/resources.cc. */

import type { NativeLayer } from './layers.js'

/** What the engine needs in order to open a resource; it comes from the catalog. */
export interface NativeResourceSpec {
  /** UUID of the resource. */
  id: string
  sizeBytes: number
  readOnly: boolean
  /** Head first, root last. Never empty. */
  layers: NativeLayer[]
}

export interface NativeChange {
  lengthBytes: number
  changed: boolean
}

export interface NativeResources {
  /**
   * Opens a resource, or takes one more lease of an open one (whose spec then stays as it is). Requires one `close` for each `open`.
   * The last `close` flushes and closes the resource. NBD connections hold leases of their own.
   */
  open(spec: NativeResourceSpec): Promise<void>
  close(resourceId: string): Promise<void>
  /** True while a lease or a read handle is held. */
  isOpen(resourceId: string): boolean

  // ---- Of an open resource; `not_found` otherwise ----
  read(resourceId: string, offset: number, length: number): Promise<Buffer>
  write(resourceId: string, offset: number, data: Uint8Array): Promise<void>
  writeZeroes(resourceId: string, offset: number, length: number): Promise<void>
  flush(resourceId: string): Promise<void>
  /**
   * Returns which runs of the range may differ from the same range of another open resource (zeros beyond its end). The runs start
   * at `offset` and may end early. Rejects with `invalid` if the two have no layer in common. See native/engine/resource/diff.h.
   */
  diff(resourceId: string, baseId: string, offset: number, length: number, max: number): Promise<NativeChange[]>

  /**
   * Holds new writes back, waits for writes in flight and makes all of them durable. Reads continue.
   * Returns false if the resource is not open; otherwise true, and `resume` must follow.
   */
  quiesce(resourceId: string): Promise<boolean>
  /** Lets writes continue, with this chain and size: a new head after a snapshot, a new size after a resize, or the old ones. */
  resume(resourceId: string, spec: { sizeBytes: number; layers: NativeLayer[] }): Promise<void>
}

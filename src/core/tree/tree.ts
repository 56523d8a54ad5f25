/**
 * The layer tree: resources and layers in the catalog, their bytes in the engine.
 *
 * Invariants
 *   1. Engine state first, row second; row deleted first, engine state second. A crash leaves orphans, which the sweep finds.
 *   2. A layer that another layer or a ro resource depends on is sealed: nothing is written to it any more.
 *   3. The lock of a resource is held while its head changes or it is opened; whoever hands a chain to the engine does so
 *      within the same grace period in which it was read (grace.ts). The lock comes before the grace period.
 *   4. Every operation is one catalog transaction, in which the caller's own row is written too (`also`): the volume, the
 *      image or the object and its resource are there together or not at all.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { ResourceRow } from '../../catalog/schema.js'
import type { Engine } from '../../engine/engine.js'
import type { IngestOptions, IngestResult } from '../../engine/uploads.js'
import type { Lease } from '../../engine/lease.js'
import type { ReadHandle } from '../../engine/readers.js'
import type { ResourceSpec } from '../../engine/spec.js'
import { asError } from '../../lib/errors.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import type { KeyedMutex } from '../../lib/mutex.js'
import { blockBytes, blocksOf, maxResourceBytes } from '../../lib/units.js'
import { specOf } from './chain.js'
import { SizeOutOfRange, SizeTooSmall, TreeDamaged } from '../model/errors.js'
import type { GracePeriods } from './grace.js'
import type { LayerIds } from './layer_ids.js'
import type { ByteSource } from '../model/records.js'
import {
  deleteResource,
  insertLayer,
  insertResource,
  isUsed,
  lockLayer,
  moveHead,
  resourceRow,
  sealLayer,
} from './tree_rows.js'

/** What is done in the same transaction: `resource` is the new one. */
export type Also<T> = (tx: Transaction, resource: ResourceId) => Promise<T>

export interface TreeParts {
  catalog: Catalog
  engine: Engine
  log: Logger
  layerIds: LayerIds
  grace: GracePeriods
  locks: KeyedMutex<ResourceId>
  /** A layer that may have lost its last user; `deleted`: the resource whose head it was. */
  consider(layer: LayerId, deleted?: ResourceId): void
}

export class Tree {
  readonly #parts: TreeParts

  constructor(parts: TreeParts) {
    this.#parts = parts
  }

  // ---- making resources ----

  /** A resource of zeros. No engine state: a layer without records reads as zeros. */
  async createBlank<T>(options: { sizeBytes: number; mode: 'ro' | 'rw' }, also: Also<T>): Promise<T> {
    const { sizeBytes, mode } = options
    checkSize(sizeBytes, mode)
    const layer = await this.#parts.layerIds.next()
    return this.#parts.catalog.transaction(async (tx) => {
      await insertLayer(tx, { id: layer, parent: null, parentLimitBlocks: 0, sealed: mode === 'ro' })
      return also(tx, await insertResource(tx, { mode, sizeBytes, head: layer }))
    })
  }

  /** Stores a stream as a ro resource. Nothing stays of a failed or aborted one. */
  async createFromIngest<T>(
    source: ByteSource,
    options: Omit<IngestOptions, 'layer'>,
    also: (tx: Transaction, resource: ResourceId, result: IngestResult) => Promise<T>,
  ): Promise<T> {
    const { catalog, engine, layerIds, consider } = this.#parts
    const layer = await layerIds.next()
    const result = await engine.uploads.ingest(source, { ...options, layer })
    try {
      return await catalog.transaction(async (tx) => {
        await insertLayer(tx, { id: layer, parent: null, parentLimitBlocks: 0, sealed: true })
        const resource = await insertResource(tx, { mode: 'ro', sizeBytes: result.sizeBytes, head: layer })
        return also(tx, resource, result)
      })
    } catch (error) {
      consider(layer)
      throw error
    }
  }

  /** A rw resource that begins as the source's bytes, then zeros. O(1). The size may be decided in the transaction. */
  async clone<T>(
    source: ResourceId,
    options: { sizeBytes: number | ((tx: Transaction) => Promise<number>) },
    also: Also<T>,
  ): Promise<T> {
    const layer = await this.#parts.layerIds.next()
    return this.#fork(source, async (tx, origin) => {
      const sizeBytes = typeof options.sizeBytes === 'number' ? options.sizeBytes : await options.sizeBytes(tx)
      checkSize(sizeBytes, 'rw')
      if (sizeBytes < origin.size_bytes) throw new SizeTooSmall(sizeBytes, origin.size_bytes)
      const parentLimitBlocks = blocksOf(origin.size_bytes)
      await insertLayer(tx, { id: layer, parent: origin.head_layer, parentLimitBlocks, sealed: false })
      return also(tx, await insertResource(tx, { mode: 'rw', sizeBytes, head: layer }))
    })
  }

  /** A ro resource of the source's bytes at this moment; everything written and answered before is in it. O(1). */
  async snapshot<T>(source: ResourceId, also: Also<T>): Promise<T> {
    return this.#fork(source, async (tx, { size_bytes, head_layer }) =>
      also(tx, await insertResource(tx, { mode: 'ro', sizeBytes: size_bytes, head: head_layer })),
    )
  }

  /** A second ro resource on the same layer, within the caller's transaction. O(1). */
  async copy(tx: Transaction, source: ResourceId): Promise<ResourceId> {
    const { mode, size_bytes, head_layer } = await resourceRow(tx.db, source)
    if (mode !== 'ro') throw new Error(`${source} is not read-only: a copy would change with it`)
    await holdLayer(tx, head_layer)
    return insertResource(tx, { mode: 'ro', sizeBytes: size_bytes, head: head_layer })
  }

  // ---- changing and ending them ----

  /** Of a rw resource. What lies beyond a shrunk end is never seen again; a grown end reads as zeros. */
  async resize<T>(
    id: ResourceId,
    { sizeBytes }: { sizeBytes: number },
    also: (tx: Transaction) => Promise<T>,
  ): Promise<T> {
    checkSize(sizeBytes, 'rw')
    const layer = await this.#parts.layerIds.next()
    return this.#withWritesHeld(id, async (tx, resource) => {
      if (resource.mode !== 'rw') throw new Error(`${id} is read-only`)
      if (sizeBytes < resource.size_bytes) {
        // A new head through which only the smaller part of the old one shows; the merge tidies up.
        await sealLayer(tx, resource.head_layer)
        const parentLimitBlocks = blocksOf(sizeBytes)
        await insertLayer(tx, { id: layer, parent: resource.head_layer, parentLimitBlocks, sealed: false })
        await moveHead(tx, id, layer)
        tx.afterCommit(() => this.#parts.consider(resource.head_layer))
      }
      await tx.db.updateTable('resources').set({ size_bytes: sizeBytes }).where('id', '=', id).execute()
      return also(tx)
    })
  }

  /**
   * After the caller deleted its own row: when no object, image, snapshot or volume refers to the resource any more, it
   * goes, and its space comes back in the background.
   */
  async release(tx: Transaction, id: ResourceId): Promise<void> {
    if (await isUsed(tx, id)) return
    const head = await deleteResource(tx, id)
    if (head !== undefined) tx.afterCommit(() => this.#parts.consider(head, id))
  }

  // ---- using them ----

  /** Opens it for this process. The caller closes the lease. Throws ResourceNotFound. */
  lease(id: ResourceId): Promise<Lease> {
    const { engine } = this.#parts
    return this.#opening(id, (spec) => engine.resources.lease(spec))
  }

  /**
   * Opens a ro resource for one reader, who ends it. Throws ResourceNotFound.
   * Without the lock, because the head of a ro resource never moves; the grace period keeps its chain as it was read (3).
   */
  readHandle(id: ResourceId): Promise<ReadHandle> {
    const { catalog, engine, grace } = this.#parts
    return grace.during(async () => engine.readers.open(await specOf(catalog.db, id)))
  }

  /** Of a small ro one. Throws ResourceNotFound. */
  async readAll(id: ResourceId, sizeBytes: number): Promise<Buffer> {
    const handle = await this.readHandle(id)
    try {
      return await handle.read(0, sizeBytes)
    } finally {
      handle.end()
    }
  }

  /** Opens it for an NBD connection, which closes it. `still`: asked again under the lock; false: nothing is opened. */
  async openForNbd(id: ResourceId, still: () => Promise<boolean>): Promise<boolean> {
    const { engine } = this.#parts
    return this.#opening(id, async (spec) => {
      if (!(await still())) return false
      await engine.resources.openFor(spec)
      return true
    })
  }

  /** Nobody opens the resource or moves its head meanwhile. */
  locked<T>(id: ResourceId, work: () => Promise<T>): Promise<T> {
    return this.#parts.locks.run(id, work)
  }

  async sizeOf(db: Reader, id: ResourceId): Promise<number> {
    return (await resourceRow(db, id)).size_bytes
  }

  #opening<T>(id: ResourceId, work: (spec: ResourceSpec) => Promise<T>): Promise<T> {
    const { catalog, grace, locks } = this.#parts
    return locks.run(id, () => grace.during(async () => work(await specOf(catalog.db, id))))
  }

  // ---- sealing ----

  /**
   * Runs `then` in a transaction in which the source's head is sealed: `origin.head_layer` will not change any more.
   * A rw source goes on with a new, empty head.
   */
  async #fork<T>(source: ResourceId, then: (tx: Transaction, origin: ResourceRow) => Promise<T>): Promise<T> {
    const { catalog, layerIds } = this.#parts
    const { mode } = await resourceRow(catalog.db, source)
    // A ro resource's head is sealed and stays; it only must still be there.
    if (mode === 'ro')
      return catalog.transaction(async (tx) => {
        const origin = await resourceRow(tx.db, source)
        await holdLayer(tx, origin.head_layer)
        return then(tx, origin)
      })
    const layer = await layerIds.next()
    return this.#withWritesHeld(source, async (tx, origin) => {
      await sealLayer(tx, origin.head_layer)
      const parentLimitBlocks = blocksOf(origin.size_bytes)
      await insertLayer(tx, { id: layer, parent: origin.head_layer, parentLimitBlocks, sealed: false })
      await moveHead(tx, source, layer)
      return then(tx, origin)
    })
  }

  /**
   * A transaction on a resource: its writes are held meanwhile, what was written before is durable first (I9), and it goes
   * on with what the transaction left, or with what was before when it failed.
   *
   * One that nobody uses is opened for it: what an earlier run left of its head may be in caches alone. Sealed like that,
   * a snapshot would read as one thing now and as another after a power cut.
   */
  #withWritesHeld<T>(id: ResourceId, work: (tx: Transaction, resource: ResourceRow) => Promise<T>): Promise<T> {
    const { catalog, engine, grace, locks } = this.#parts
    const transaction = () =>
      catalog.transaction(async (tx) => {
        const result = await work(tx, await resourceRow(tx.db, id))
        return { result, spec: await specOf(tx.db, id) }
      })
    return locks.run(id, () =>
      grace.during(async () => {
        let spec = await specOf(catalog.db, id)
        const lease = await engine.resources.lease(spec)
        try {
          // Most of what is dirty goes out while writes still go on, so that they are held only for the rest.
          await engine.resources.flush(id).catch(() => undefined)
          if (!(await engine.resources.quiesce(id))) return (await transaction()).result // read-only: nobody writes
          try {
            const done = await transaction()
            spec = done.spec
            return done.result
          } finally {
            await this.#resume(spec)
          }
        } finally {
          await this.#giveBack(lease)
        }
      }),
    )
  }

  async #giveBack(lease: Lease): Promise<void> {
    try {
      await lease.close()
    } catch (error) {
      // As with `#resume`: what the transaction sealed was durable before it.
      this.#parts.log.error(
        { err: asError(error), resource: lease.resourceId },
        'a resource could not be closed after its writes were held',
      )
    }
  }

  async #resume({ id, sizeBytes, layers }: ResourceSpec): Promise<void> {
    try {
      await this.#parts.engine.resources.resume(id, { sizeBytes, layers })
    } catch (error) {
      // The outcome of the transaction stands, either way; whoever writes to the resource meets the engine's own error.
      this.#parts.log.error(
        { err: asError(error), resource: id },
        'a resource could not go on after its writes were held',
      )
    }
  }
}

/** A row that refers to the layer is about to be written: see lockLayer. */
async function holdLayer(tx: Transaction, layer: LayerId): Promise<void> {
  if (!(await lockLayer(tx, layer, 'share'))) throw new TreeDamaged(layer)
}

function checkSize(sizeBytes: number, mode: 'ro' | 'rw'): void {
  const unit = mode === 'rw' ? blockBytes : 1
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > maxResourceBytes || sizeBytes % unit !== 0) {
    throw new SizeOutOfRange(maxResourceBytes)
  }
}

/**
 * The reaper: takes layers out of the tree that nobody needs, and gives their space back.
 *
 *   no resource on it, no child    → out of the tree, dropped in the engine, row deleted; then its parent is looked at
 *   no resource on it, one child   → its records are moved into the child (merge), the child is linked to its parent, then as above
 *   otherwise                      → stays
 *
 * Invariants
 *   1. What there is to do follows from the catalog alone, so it carries on after a crash at any point: `scan` finds it all.
 *      The queue in memory only says where to look.
 *   2. One merge at a time, each to its end or given up as a whole. Two merges of neighbours at once could move a record
 *      into a layer whose own records have been moved away already. A merge that is taken up again starts from its beginning;
 *      moving is idempotent.
 *   2a. Layers without children go together, so that their transactions share commits (a commit costs more than all the rest of one),
 *      but never while a merge is under way: it might move records into one of them.
 *   3. Hidden layers are merged from the one next to a living layer upwards, so that each record moves once.
 *   4. A resource that was deleted while somebody reads it keeps its layer, and so all above it, as they are until the last
 *      one closes it: moving records out of a layer would take them from under the reader.
 *   5. A row in state `dropping` has no parent, no child and no resource; it goes when the engine has dropped the layer.
 */

import { type CompiledQuery, sql } from 'kysely'
import { EngineBusy, isBusy } from '../../addon/errors.js'
import type { Catalog } from '../../catalog/catalog.js'
import { CatalogAway } from '../../catalog/errors.js'
import { Prepared } from '../../catalog/prepared.js'
import type { LayerRow } from '../../catalog/schema.js'
import type { Transaction } from '../../catalog/types.js'
import type { Engine } from '../../engine/engine.js'
import type { MergeStep } from '../../engine/layers.js'
import { asError } from '../../lib/errors.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import type { KeyedMutex } from '../../lib/mutex.js'
import { WorkQueue } from '../../lib/work_queue.js'
import type { GracePeriods } from './grace.js'
import { lockLayer } from './tree_rows.js'

export interface ReaperParts {
  catalog: Catalog
  engine: Engine
  log: Logger
  grace: GracePeriods
  locks: KeyedMutex<ResourceId>
}

// A step holds the lock of a resource: a few milliseconds' worth of records.
const regionsPerStep = 256
const layersPerScan = 5000
/** Layers that are taken out by shared commits; bounds how long they keep the event loop. */
const togetherMax = 16
// A layer that is in use is looked at again soon, one that fails is not hammered.
const busyWaitMsMax = 1000
const failureWaitMsMax = 60_000

const layerRow = new Prepared<LayerRow, [LayerId]>((db) =>
  db
    .selectFrom('layers')
    .selectAll()
    .where('id', '=', 0 as LayerId)
    .compile(),
)
const resourceOn = new Prepared<{ id: ResourceId }, [LayerId]>((db) =>
  sql<{ id: ResourceId }>`select id from resources where head_layer = ${0} limit 1`.compile(db),
)
const childrenOf = new Prepared<LayerRow, [LayerId]>((db) =>
  sql<LayerRow>`select * from layers where parent = ${0} limit 2`.compile(db),
)
const deleted = new Prepared<never, [LayerId]>(
  (db) =>
    db
      .deleteFrom('layers')
      .where('id', '=', 0 as LayerId)
      .compile() as CompiledQuery<never>,
)

export class Reaper {
  readonly #parts: ReaperParts
  readonly #queue: WorkQueue<LayerId>
  /** What open resources have yet to forget; told again before each attempt to drop the parent. */
  readonly #unlinks = new Map<LayerId, MergeStep>()

  /** Deleted resources that may still be open, by their head. */
  readonly #deleted = new Map<LayerId, ResourceId[]>()

  constructor(parts: ReaperParts) {
    this.#parts = parts
    this.#queue = new WorkQueue<LayerId>({
      batchMax: togetherMax,
      work: (layers) => this.#reapBatch(layers),
      onFailure: (error, layer, attempt) => this.#waitMs(error, layer, attempt),
    })
  }

  /**
   * Looks at the layer soon. Cheap; may be called for any layer at any time, also for one without a row.
   * `deleted`: the resource whose head it was until now.
   */
  consider(layer: LayerId, deleted?: ResourceId): void {
    if (deleted !== undefined) this.#deleted.set(layer, [...(this.#deleted.get(layer) ?? []), deleted])
    this.#queue.add(layer)
  }

  /** Considers every layer of the catalog that has no resource and at most one child. For the start. */
  async scan(): Promise<void> {
    let last = 0 as LayerId
    for (;;) {
      const rows = await this.#parts.catalog.db
        .selectFrom('layers')
        .select((e) => [
          'id',
          e
            .exists(e.selectFrom('resources').select('resources.id').whereRef('resources.head_layer', '=', 'layers.id'))
            .as('used'),
        ])
        .where('id', '>', last)
        .orderBy('id')
        .limit(layersPerScan)
        .execute()
      for (const { id, used } of rows) if (!used) this.consider(id)
      const end = rows.at(-1)
      if (end === undefined) return
      last = end.id
      // Others want the event loop too.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** How many layers are waiting to be looked at. */
  get backlog(): number {
    return this.#queue.size
  }

  /** Resolves when nothing is left to do, what waits for an open resource included (for tests, and for `du`). */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  /** Resolves when the step under way has ended; the rest is for the next start. */
  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #reapBatch(layers: readonly LayerId[]): Promise<PromiseSettledResult<void>[]> {
    const merging: { layer: LayerId; place: number }[] = []
    const outcomes = await Promise.allSettled(
      layers.map(async (layer, place) => {
        if (!(await this.#reapLeaf(layer))) merging.push({ layer, place })
      }),
    )
    for (const { layer, place } of merging) {
      if (this.#queue.stopping) break
      const [outcome] = await Promise.allSettled([this.#reap(layer)])
      outcomes[place] = outcome
    }
    return outcomes
  }

  /** False, and nothing is done: the layer has children. */
  async #reapLeaf(layer: LayerId): Promise<boolean> {
    const { catalog, engine } = this.#parts
    await this.#waitForReaders(layer)
    const row = await layerRow.first(catalog.db, layer)
    if (row === undefined)
      await engine.layers.drop(layer) // an upload that did not come to an end
    else if (row.state === 'dropping') await this.#drop(layer)
    else if (!(await this.#isHead(layer))) {
      if ((await this.#children(layer)).length > 0) return false
      if (await this.#takeOut(layer, undefined)) await this.#drop(layer)
      else this.consider(layer)
    }
    return true
  }

  async #reap(layer: LayerId): Promise<void> {
    const { catalog } = this.#parts
    const row = await layerRow.first(catalog.db, layer)
    if (row?.state !== 'live' || (await this.#isHead(layer))) return
    const [child, another] = await this.#children(layer)
    if (another !== undefined) return
    // Its children went meanwhile.
    if (child === undefined) return this.consider(layer)
    if (!(await this.#merge(row, child))) return
    if (!(await this.#takeOut(layer, child))) return this.consider(layer)
    await this.#drop(layer)
  }

  /** Throws EngineBusy while a deleted resource on this layer is open. Nobody opens it anew: its row is gone. */
  async #waitForReaders(layer: LayerId): Promise<void> {
    const { engine, grace } = this.#parts
    if (!this.#deleted.has(layer)) return
    await grace.elapsed() // who has read the row before it went, has opened the resource by now
    const open = (this.#deleted.get(layer) ?? []).filter((resource) => engine.resources.isOpen(resource))
    if (open.length > 0) {
      this.#deleted.set(layer, open)
      throw new EngineBusy(`layer ${layer} is being read`)
    }
    this.#deleted.delete(layer)
  }

  /** False: the child has to be looked at first; its end brings us back here. */
  async #merge(parent: LayerRow, child: LayerRow): Promise<boolean> {
    const { engine, locks } = this.#parts
    const step = { parent: parent.id, child: child.id, limitBlocks: child.parent_limit_blocks }
    let cursor = 0
    do {
      if (this.#queue.stopping) return false
      if (await this.#isPassing(child.id)) {
        this.consider(child.id)
        return false
      }
      const from = cursor
      const move = () => engine.layers.mergeStep({ ...step, cursor: from, maxRegions: regionsPerStep })
      // Not while the child stops being the head (a snapshot) or is being opened.
      const writer = await this.#writerOf(child.id)
      cursor = await (writer === undefined ? move() : locks.run(writer, move))
    } while (cursor >= 0)
    return true
  }

  /** Will the child itself leave the tree? Then merging into it would be work for nothing. */
  async #isPassing(layer: LayerId): Promise<boolean> {
    if (await this.#isHead(layer)) return false
    return (await this.#children(layer)).length <= 1
  }

  /** Answers false when the tree has changed meanwhile. */
  async #takeOut(layer: LayerId, child: LayerRow | undefined): Promise<boolean> {
    const { catalog, grace } = this.#parts
    const takeOut = async (tx: Transaction) => {
      // A parent is older than its child: all lock in this order.
      if (!(await lockLayer(tx, layer, 'update'))) return undefined
      if (child !== undefined && !(await lockLayer(tx, child.id, 'update'))) return undefined
      const row = await layerRow.first(tx.db, layer)
      const user = await resourceOn.first(tx.db, layer)
      const children = await childrenOf.all(tx.db, layer)
      if (row === undefined || row.state !== 'live' || user !== undefined) return undefined
      if (children.length !== (child ? 1 : 0) || children[0]?.id !== child?.id) return undefined
      const limitBlocks = Math.min(row.parent_limit_blocks, child?.parent_limit_blocks ?? 0)
      if (child !== undefined) {
        await tx.db
          .updateTable('layers')
          .set({ parent: row.parent, parent_limit_blocks: limitBlocks })
          .where('id', '=', child.id)
          .execute()
      }
      await tx.db
        .updateTable('layers')
        .set({ state: 'dropping', parent: null, parent_limit_blocks: 0 })
        .where('id', '=', layer)
        .execute()
      return { parent: row.parent, limitBlocks }
    }
    const out = await catalog.reservedTransaction(takeOut, { looksAfterLocking: true })
    if (out === undefined) return false
    if (out.parent !== null) this.consider(out.parent)
    // Whoever has read the old chain opens it before the layer goes: it must be there before it is told to forget.
    await grace.elapsed()
    if (child !== undefined) {
      this.#unlinks.set(layer, { parent: layer, child: child.id, limitBlocks: out.limitBlocks })
    }
    return true
  }

  async #drop(layer: LayerId): Promise<void> {
    const { catalog, engine, grace } = this.#parts
    // Whoever read a chain with this layer has opened it by now, and the engine says `busy`.
    await grace.elapsed()
    const unlink = this.#unlinks.get(layer)
    if (unlink !== undefined) {
      await engine.layers.unlink(unlink)
      this.#unlinks.delete(layer)
    }
    await engine.layers.drop(layer)
    await catalog.reservedTransaction(({ db }) => deleted.run(db, layer))
  }

  async #isHead(layer: LayerId): Promise<boolean> {
    return (await resourceOn.first(this.#parts.catalog.db, layer)) !== undefined
  }

  /** At most two of them. */
  #children(layer: LayerId): Promise<LayerRow[]> {
    return childrenOf.all(this.#parts.catalog.db, layer)
  }

  async #writerOf(layer: LayerId): Promise<ResourceId | undefined> {
    const { db } = this.#parts.catalog
    const row = await db
      .selectFrom('resources')
      .select('id')
      .where('head_layer', '=', layer)
      .where('mode', '=', 'rw')
      .executeTakeFirst()
    return row?.id
  }

  #waitMs(error: unknown, layer: LayerId, attempt: number): number {
    if (isBusy(error) || error instanceof CatalogAway) return Math.min(10 * 2 ** attempt, busyWaitMsMax)
    this.#parts.log.error({ err: asError(error), layer, attempt }, 'a layer could not be given back; it is tried again')
    return Math.min(100 * 2 ** attempt, failureWaitMsMax)
  }
}

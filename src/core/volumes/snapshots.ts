/** Snapshots of volumes: O(1), also while attached and under load. */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import {
  editValues,
  insertValues,
  replaceValues,
  type ValuesEdit,
  valuesOf,
  weightsOf,
} from '../../catalog/named_values.js'
import type { SnapshotRow } from '../../catalog/schema.js'
import {
  type ImageId,
  newSnapshotId,
  type ProjectId,
  type ResourceId,
  type SnapshotId,
  type UserId,
  type VolumeId,
} from '../../lib/ids.js'
import type { Exports } from '../exports/exports.js'
import { withMetadata } from '../lists/metadata_filter.js'
import { column, numberOr, type PageOf, pageOf, textOr } from '../lists/pages.js'
import { collected, SlicePace } from '../lists/slices.js'
import { SnapshotNotFound } from '../model/errors.js'
import { type Metadata, type Page, type ProjectCaller, type Snapshot, volumeStatuses } from '../model/records.js'
import { onResourceOf } from '../model/vanished.js'
import { mayWrite } from '../policy/access.js'
import type { Tree } from '../tree/tree.js'
import { takeId } from '../tree/used_ids.js'
import { countBlocks } from '../views/block_usage.js'
import { removeSnapshot } from '../views/removal.js'
import { insertImageOfSnapshot } from '../views/snapshot_view.js'
import { snapshotRow, toSnapshots } from './snapshot_rows.js'
import { statusMustBe, volumeRow } from './volume_rows.js'

export type SnapshotSortKey = 'id' | 'name' | 'created_at' | 'updated_at' | 'size' | 'status' | 'volume_id'

export interface SnapshotQuery extends Page<SnapshotId, SnapshotSortKey> {
  /** Heeded for admins only. */
  allProjects?: boolean | undefined
  projectId?: string | undefined
  userId?: string | undefined
  name?: string | undefined
  status?: string | undefined
  volumeId?: string | undefined
  metadata?: Metadata | undefined
}

export interface NewSnapshot {
  volumeId: string
  name?: string | null | undefined
  description?: string | null | undefined
  metadata?: Metadata | undefined
  force?: boolean | undefined
}

const sortKeys = {
  id: column('id'),
  name: textOr('name'),
  created_at: column('created_at'),
  updated_at: numberOr('updated_at'),
  size: column('size_gib'),
  status: column('status'),
  volume_id: column('volume_id'),
}

const usable = volumeStatuses.filter((status) => status !== 'error' && status !== 'deleting')

export class Snapshots {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #exports: Exports

  constructor(parts: { catalog: Catalog; tree: Tree; exports: Exports }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#exports = parts.exports
  }

  /** A volume that is in use needs `force` (VolumeStateConflict otherwise). Everything written and answered before is in it. */
  async create(caller: ProjectCaller, snapshot: NewSnapshot): Promise<Snapshot> {
    mayWrite(caller)
    const insert = async (tx: Transaction, resourceId: ResourceId): Promise<Snapshot> => {
      const { db } = tx
      const volume = await volumeRow(db, caller, snapshot.volumeId)
      statusMustBe(volume, snapshot.force ? usable : ['available'])
      const row: SnapshotRow = {
        id: newSnapshotId(),
        volume_id: volume.id,
        listed: 1,
        project_id: volume.project_id,
        user_id: caller.user.id,
        name: snapshot.name ?? null,
        description: snapshot.description ?? null,
        size_gib: volume.size_gib,
        status: 'available',
        bootable: volume.bootable,
        resource_id: resourceId,
        created_at: Date.now(),
        updated_at: null,
      }
      await takeId(db, row.id)
      await db.insertInto('snapshots').values(row).execute()
      await countBlocks(tx, row.project_id, { snapshots: 1 })
      await insertValues(db, 'snapshot_metadata', row.id, snapshot.metadata ?? {})
      const imageMetadata = (await valuesOf(db, 'volume_image_metadata', [volume.id])).get(volume.id) ?? {}
      await insertValues(db, 'snapshot_image_metadata', row.id, imageMetadata)
      const sizeBytes = await this.#tree.sizeOf(db, resourceId)
      await insertImageOfSnapshot(tx, row, { sizeBytes, imageMetadata })
      return this.#told(db, row)
    }
    return onResourceOf(
      () => volumeRow(this.#catalog.db, caller, snapshot.volumeId),
      ({ resource_id: source }) => this.#tree.snapshot(source, insert),
    )
  }

  /** Throws SnapshotNotFound. */
  async get(caller: ProjectCaller, id: string): Promise<Snapshot> {
    return this.#told(this.#catalog.db, await snapshotRow(this.#catalog.db, caller, id))
  }

  async list(caller: ProjectCaller, query: SnapshotQuery): Promise<Snapshot[]> {
    return collected((await this.page(caller, query)).slices)
  }

  /** Throws SnapshotNotFound for a marker that the caller does not see. */
  async page(caller: ProjectCaller, query: SnapshotQuery, pace = new SlicePace()): Promise<PageOf<Snapshot>> {
    const filtered = this.#filtered(caller, query)
    return pageOf<SnapshotRow, 'snapshots', SnapshotSortKey, Snapshot>(filtered, this.#visible(caller), {
      page: query,
      keys: sortKeys,
      notFound: SnapshotNotFound,
      pace,
      load: (rows) => toSnapshots(this.#catalog.db, rows),
      weigh: (ids) => weightsOf(this.#catalog.db, ['snapshot_metadata', 'snapshot_image_metadata'], ids),
    })
  }

  /** Ignores marker, limit and offset. */
  async count(caller: ProjectCaller, query: SnapshotQuery): Promise<number> {
    const { count } = await this.#filtered(caller, query)
      .select((e) => e.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  async update(
    caller: ProjectCaller,
    id: string,
    change: {
      name?: string | null | undefined
      description?: string | null | undefined
      /** The whole set. */
      metadata?: Metadata | undefined
    },
  ): Promise<Snapshot> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const row = await snapshotRow(db, caller, id)
      const next: SnapshotRow = {
        ...row,
        name: change.name === undefined ? row.name : change.name,
        description: change.description === undefined ? row.description : change.description,
        updated_at: Date.now(),
      }
      await db.updateTable('snapshots').set(next).where('id', '=', row.id).execute()
      if (next.name !== row.name) await nameImage(db, next)
      if (change.metadata) await replaceValues(db, 'snapshot_metadata', row.id, change.metadata)
      return this.#told(db, next)
    })
  }

  /** Changes the metadata by `edit`, in one transaction, and returns the outcome. */
  async editMetadata(caller: ProjectCaller, id: string, edit: ValuesEdit): Promise<Metadata> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const { id: snapshot } = await snapshotRow(db, caller, id)
      const edited = await editValues(db, 'snapshot_metadata', snapshot, edit)
      await db.updateTable('snapshots').set({ updated_at: Date.now() }).where('id', '=', snapshot).execute()
      return edited
    })
  }

  /** With its image and the object that came with it; what was made from it lives on. Throws ImageProtected. */
  async delete(caller: ProjectCaller, id: string): Promise<void> {
    mayWrite(caller)
    const { resource_id: resource } = await snapshotRow(this.#catalog.db, caller, id)
    await this.#tree.locked(resource, () =>
      this.#catalog.reservedTransaction(async (tx) => {
        const row = await snapshotRow(tx.db, caller, id)
        await removeSnapshot(tx, this.#tree, row)
      }),
    )
    await this.#exports.end([id])
  }

  #visible(caller: ProjectCaller) {
    const snapshots = this.#catalog.db.selectFrom('snapshots').where('listed', '=', 1)
    return caller.isAdmin ? snapshots : snapshots.where('project_id', '=', caller.project.id)
  }

  #filtered(caller: ProjectCaller, query: SnapshotQuery) {
    let filtered = this.#catalog.db.selectFrom('snapshots').where('listed', '=', 1)
    if (!caller.isAdmin || !query.allProjects) filtered = filtered.where('project_id', '=', caller.project.id)
    if (query.projectId !== undefined) filtered = filtered.where('project_id', '=', query.projectId as ProjectId)
    if (query.userId !== undefined) filtered = filtered.where('user_id', '=', query.userId as UserId)
    if (query.name !== undefined) filtered = filtered.where('name', '=', query.name)
    if (query.status !== undefined) filtered = filtered.where('status', '=', query.status as SnapshotRow['status'])
    if (query.volumeId !== undefined) filtered = filtered.where('volume_id', '=', query.volumeId as VolumeId)
    return withMetadata(filtered, 'snapshots.id', 'snapshot_metadata', query.metadata)
  }

  async #told(db: Reader, row: SnapshotRow): Promise<Snapshot> {
    const [snapshot] = await toSnapshots(db, [row])
    return snapshot as Snapshot
  }
}

/** A snapshot and its image have one name. */
async function nameImage(db: Reader, { id, name }: SnapshotRow): Promise<void> {
  const change = { name, updated_at: Date.now() }
  await db
    .updateTable('images')
    .set(change)
    .where('id', '=', id as string as ImageId)
    .execute()
}

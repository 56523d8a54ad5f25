/** Volumes: a rw resource with what Cinder says about it. */

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
import { behind } from '../../catalog/paging.js'
import { type AttachmentRow, flag, type VolumeRow } from '../../catalog/schema.js'
import {
  type ImageId,
  newVolumeId,
  type ProjectId,
  type ResourceId,
  type SnapshotId,
  type UserId,
  type VolumeId,
} from '../../lib/ids.js'
import { GiB, maxResourceBytes } from '../../lib/units.js'
import type { Exports } from '../exports/exports.js'
import { withMetadata } from '../lists/metadata_filter.js'
import { column, numberOr, type PageOf, pageOf, textOr } from '../lists/pages.js'
import { collected, rowsInSlices, SlicePace } from '../lists/slices.js'
import {
  InvalidArgument,
  NotAllowed,
  ResourceNotFound,
  SizeTooSmall,
  VolumeAttached,
  VolumeHasSnapshots,
  VolumeNotFound,
} from '../model/errors.js'
import type { Metadata, Page, ProjectCaller, Volume, VolumeStatus } from '../model/records.js'
import { onResourceOf } from '../model/vanished.js'
import { mayWrite } from '../policy/access.js'
import type { Tree } from '../tree/tree.js'
import { takeId } from '../tree/used_ids.js'
import { type BlockUsage, blockUsageOf, countBlocks } from '../views/block_usage.js'
import { removeSnapshot } from '../views/removal.js'
import { attachmentsOf } from './attachment_rows.js'
import { statusMustBe, toVolumes, volumeRow } from './volume_rows.js'

export interface NewVolume {
  /** Default: as many GiB as its origin needs; required for blank ones. SizeTooSmall below the origin's. */
  sizeGib?: number | undefined
  name?: string | null | undefined
  description?: string | null | undefined
  metadata?: Metadata | undefined
  availabilityZone?: string | undefined
  volumeType?: string | undefined
}

/** What a volume is made from, and what it takes over from there. */
export interface VolumeOrigin {
  resourceId: ResourceId
  /** The smallest volume that holds it. */
  leastGib: number
  bootable: boolean
  imageMetadata: Metadata
  sourceVolumeId?: VolumeId
  snapshotId?: SnapshotId
  imageId?: ImageId
}

export type VolumeSortKey =
  | 'id'
  | 'name'
  | 'created_at'
  | 'updated_at'
  | 'size'
  | 'status'
  | 'bootable'
  | 'availability_zone'

export interface VolumeQuery extends Page<VolumeId, VolumeSortKey> {
  /** Heeded for admins only. */
  allProjects?: boolean | undefined
  projectId?: string | undefined
  userId?: string | undefined
  ids?: string[] | undefined
  name?: string | undefined
  status?: string | undefined
  bootable?: boolean | undefined
  availabilityZone?: string | undefined
  metadata?: Metadata | undefined
}

/** What some volumes add up to, and the metadata of each that has any. */
interface VolumeSums {
  count: number
  sizeGib: number
  metadata: Metadata[]
}

export interface VolumeChange {
  name?: string | null | undefined
  description?: string | null | undefined
  /** The whole set. */
  metadata?: Metadata | undefined
  bootable?: boolean | undefined
  readOnly?: boolean | undefined
  /** Refused (InvalidArgument) unless it is so: it follows from the attachments and cannot be set. */
  attached?: boolean | undefined
  /** Cinder's own state changes (reserve, begin detaching, reset): `from` is checked in the same transaction (VolumeStateConflict). */
  status?: { from?: readonly VolumeStatus[] | undefined; to: VolumeStatus } | undefined
}

const sortKeys = {
  id: column('id'),
  name: textOr('name'),
  created_at: column('created_at'),
  updated_at: numberOr('updated_at'),
  size: column('size_gib'),
  status: column('status'),
  bootable: column('bootable'),
  availability_zone: column('availability_zone'),
}

/** Volumes in one slice of sums: each may have 128 items of metadata. */
const sumsRows = { withMetadata: 64, alone: 1024 }

const maxGib = maxResourceBytes / GiB

export class Volumes {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #exports: Exports

  constructor(parts: { catalog: Catalog; tree: Tree; exports: Exports }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#exports = parts.exports
  }

  /** Complete when it returns: status `available`. Its bytes are zeros. */
  async createBlank(caller: ProjectCaller, volume: NewVolume): Promise<Volume> {
    mayWrite(caller)
    const sizeGib = sizeOf(volume, undefined)
    return this.#tree.createBlank({ sizeBytes: sizeGib * GiB, mode: 'rw' }, async (tx, resource) =>
      this.#told(tx.db, await insertVolume(tx, caller, volume, undefined, { sizeGib, resource })),
    )
  }

  /**
   * Complete when it returns: status `available`. It begins with the bytes of another resource, in O(1). `find` says which, or
   * throws why not; it is called before the transaction and in it.
   * Throws SizeTooSmall.
   */
  async createFrom(
    caller: ProjectCaller,
    volume: NewVolume,
    find: (db: Reader) => Promise<VolumeOrigin>,
  ): Promise<Volume> {
    mayWrite(caller)
    // Refused before anything is made; decided again in the transaction.
    const look = async (db: Reader): Promise<VolumeOrigin> => {
      const origin = await find(db)
      sizeOf(volume, origin)
      return origin
    }
    return onResourceOf(
      () => look(this.#catalog.db),
      ({ resourceId }) => {
        const sizeBytes = async (tx: Transaction) => sizeOf(volume, await look(tx.db)) * GiB
        return this.#tree.clone(resourceId, { sizeBytes }, async (tx, resource) => {
          const origin = await look(tx.db)
          // Deleted, and another made by the same ID.
          if (origin.resourceId !== resourceId) throw new ResourceNotFound(resourceId)
          const sizeGib = sizeOf(volume, origin)
          return this.#told(tx.db, await insertVolume(tx, caller, volume, origin, { sizeGib, resource }))
        })
      },
    )
  }

  /** With status `creating` and blank bytes; `also` arranges for the rest in the same transaction. Throws SizeTooSmall. */
  async createPending(
    caller: ProjectCaller,
    volume: NewVolume,
    find: (db: Reader) => Promise<Omit<VolumeOrigin, 'resourceId'>>,
    also: (tx: Transaction) => Promise<void>,
  ): Promise<Volume> {
    mayWrite(caller)
    const sizeGib = sizeOf(volume, await find(this.#catalog.db))
    return this.#tree.createBlank({ sizeBytes: sizeGib * GiB, mode: 'rw' }, async (tx, resource) => {
      const origin = await find(tx.db)
      sizeOf({ ...volume, sizeGib }, origin)
      const row = await insertVolume(tx, caller, volume, origin, { sizeGib, resource, status: 'creating' })
      await also(tx)
      return this.#told(tx.db, row)
    })
  }

  /** Throws VolumeNotFound. */
  async get(caller: ProjectCaller, id: string): Promise<Volume> {
    return this.#told(this.#catalog.db, await volumeRow(this.#catalog.db, caller, id))
  }

  async list(caller: ProjectCaller, query: VolumeQuery): Promise<Volume[]> {
    return collected((await this.page(caller, query)).slices)
  }

  /** Throws VolumeNotFound for a marker that the caller does not see. */
  async page(caller: ProjectCaller, query: VolumeQuery, pace = new SlicePace()): Promise<PageOf<Volume>> {
    const filtered = this.#filtered(caller, query)
    return pageOf<VolumeRow, 'volumes', VolumeSortKey, Volume>(filtered, this.#visible(caller), {
      page: query,
      keys: sortKeys,
      notFound: VolumeNotFound,
      pace,
      load: (rows) => toVolumes(this.#catalog.db, rows),
      weigh: (ids) => weightsOf(this.#catalog.db, ['volume_metadata', 'volume_image_metadata'], ids),
    })
  }

  /** Ignores marker, limit and offset. */
  async count(caller: ProjectCaller, query: VolumeQuery): Promise<number> {
    const { count } = await this.#filtered(caller, query)
      .select((e) => e.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /**
   * How many match, their size and their metadata, slice by slice. Ignores marker, limit, offset and order; only as much as `metadata`
   * asks for is read.
   */
  async *sums(
    caller: ProjectCaller,
    query: VolumeQuery,
    { metadata }: { metadata: boolean },
  ): AsyncGenerator<VolumeSums, void, void> {
    const { db } = this.#catalog
    const size = metadata ? sumsRows.withMetadata : sumsRows.alone
    const filtered = this.#filtered(caller, query).select(['id', 'size_gib', 'created_at'])
    const sorted = filtered.orderBy('created_at').orderBy('id')
    const sorts = [
      { expression: column('created_at'), direction: 'asc' },
      { expression: column('id'), direction: 'asc' },
    ] as const
    const slices = rowsInSlices<Pick<VolumeRow, 'id' | 'size_gib' | 'created_at'>>({ rows: size }, (_, last) =>
      (last === undefined ? sorted : sorted.where(behind(sorts, [last.created_at, last.id]))).limit(size).execute(),
    )
    for await (const rows of slices) {
      const ids = rows.map(({ id }) => id)
      yield {
        count: rows.length,
        sizeGib: rows.reduce((sum, row) => sum + row.size_gib, 0),
        metadata: metadata ? [...(await valuesOf(db, 'volume_metadata', ids)).values()] : [],
      }
    }
  }

  /** Of one project; for administrators, of any. Costs the same however many volumes there are. */
  usage(caller: ProjectCaller, projectId: string): Promise<BlockUsage> {
    return blockUsageOf(this.#catalog.db, caller.isAdmin ? projectId : caller.project.id)
  }

  async update(caller: ProjectCaller, id: string, change: VolumeChange): Promise<Volume> {
    mayWrite(caller)
    // A detach begins with a change of the status alone.
    const { status, ...rest } = change
    const keepsItsSize = status !== undefined && Object.values(rest).every((value) => value === undefined)
    const work = async ({ db }: Transaction): Promise<Volume> => {
      const row = await volumeRow(db, caller, id)
      if (change.status?.from !== undefined) statusMustBe(row, change.status.from)
      if (change.attached !== undefined) await attachedMustBe(db, row, change.attached)
      const next: VolumeRow = {
        ...row,
        name: change.name === undefined ? row.name : change.name,
        description: change.description === undefined ? row.description : change.description,
        bootable: change.bootable === undefined ? row.bootable : flag(change.bootable),
        read_only: change.readOnly === undefined ? row.read_only : flag(change.readOnly),
        status: change.status?.to ?? row.status,
        updated_at: Date.now(),
      }
      await db.updateTable('volumes').set(next).where('id', '=', row.id).execute()
      if (change.metadata) await replaceValues(db, 'volume_metadata', row.id, change.metadata)
      return this.#told(db, next)
    }
    return keepsItsSize ? this.#catalog.reservedTransaction(work) : this.#catalog.transaction(work)
  }

  /** Changes the metadata by `edit`, in one transaction, and returns the outcome. */
  editMetadata(caller: ProjectCaller, id: string, edit: ValuesEdit): Promise<Metadata> {
    return this.#edit(caller, id, 'volume_metadata', edit)
  }

  /** The same for what is known of the image that the volume was made from. */
  editImageMetadata(caller: ProjectCaller, id: string, edit: ValuesEdit): Promise<Metadata> {
    return this.#edit(caller, id, 'volume_image_metadata', edit)
  }

  /** Larger only. Also while attached (`attached: true` allows that); a reconnecting client sees it. */
  async extend(
    caller: ProjectCaller,
    id: string,
    sizeGib: number,
    { attached = false }: { attached?: boolean } = {},
  ): Promise<Volume> {
    mayWrite(caller)
    checkGib(sizeGib)
    const grow = async (tx: Transaction): Promise<Volume> => {
      const { db } = tx
      const row = await volumeRow(db, caller, id)
      statusMustBe(row, attached ? ['available', 'in-use'] : ['available'])
      if (sizeGib <= row.size_gib) {
        throw new InvalidArgument(`the new size must be greater than the current one (${row.size_gib} GiB)`)
      }
      const next = { ...row, size_gib: sizeGib, updated_at: Date.now() }
      await db.updateTable('volumes').set(next).where('id', '=', row.id).execute()
      await countBlocks(tx, row.project_id, { volumeGib: sizeGib - row.size_gib })
      return this.#told(db, next)
    }
    return onResourceOf(
      () => volumeRow(this.#catalog.db, caller, id),
      ({ resource_id: resource }) => this.#tree.resize(resource, { sizeBytes: sizeGib * GiB }, grow),
    )
  }

  /**
   * Status must be available or error, or any with `force`, which is for admins. A volume that a machine has attached is not
   * deleted in either case (VolumeAttached); attachments that nobody completed end with it. Snapshots refuse it
   * (VolumeHasSnapshots) unless `cascade`. What was cloned from it lives on. Space comes back in the background.
   */
  async delete(
    caller: ProjectCaller,
    id: string,
    { cascade = false, force = false }: { cascade?: boolean; force?: boolean } = {},
  ): Promise<void> {
    mayWrite(caller)
    const { resource_id: resource } = await volumeRow(this.#catalog.db, caller, id)
    if (force && !caller.isAdmin) throw new NotAllowed('admin')
    const gone = await this.#tree.locked(resource, () =>
      this.#catalog.reservedTransaction(async (tx) => {
        const row = await volumeRow(tx.db, caller, id)
        if (!force) statusMustBe(row, ['available', 'error'])
        const exports = await this.#deleteAttachments(tx, row)
        const snapshots = await this.#deleteSnapshots(tx, row, cascade)
        await tx.db.deleteFrom('volumes').where('id', '=', row.id).execute()
        await countBlocks(tx, row.project_id, { volumes: -1, volumeGib: -row.size_gib })
        await this.#tree.release(tx, row.resource_id)
        return [...exports, ...snapshots, row.id]
      }),
    )
    await this.#exports.end(gone)
  }

  /** Answers the names of their exports. */
  async #deleteAttachments({ db }: Transaction, row: VolumeRow): Promise<(string | null)[]> {
    const attachments = (await attachmentsOf(db, [row.id])).get(row.id) ?? []
    const attached = attachments.find(isAttached)
    if (attached !== undefined) throw new VolumeAttached(row.id, attached.id)
    await db.deleteFrom('attachments').where('volume_id', '=', row.id).execute()
    return attachments.map((attachment) => attachment.export_name)
  }

  async #deleteSnapshots(tx: Transaction, row: VolumeRow, cascade: boolean): Promise<string[]> {
    const snapshots = await tx.db
      .selectFrom('snapshots')
      .selectAll()
      .where('volume_id', '=', row.id)
      .where('listed', '=', 1)
      .execute()
    if (snapshots.length > 0 && !cascade) throw new VolumeHasSnapshots(row.id, snapshots.length)
    for (const snapshot of snapshots) {
      await removeSnapshot(tx, this.#tree, snapshot)
    }
    // Images that were snapshots live on without it.
    await tx.db.updateTable('snapshots').set({ volume_id: null }).where('volume_id', '=', row.id).execute()
    return snapshots.map((snapshot) => snapshot.id)
  }

  #edit(
    caller: ProjectCaller,
    id: string,
    table: 'volume_metadata' | 'volume_image_metadata',
    edit: ValuesEdit,
  ): Promise<Metadata> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const { id: volume } = await volumeRow(db, caller, id)
      const edited = await editValues(db, table, volume, edit)
      await db.updateTable('volumes').set({ updated_at: Date.now() }).where('id', '=', volume).execute()
      return edited
    })
  }

  #visible(caller: ProjectCaller) {
    const volumes = this.#catalog.db.selectFrom('volumes')
    return caller.isAdmin ? volumes : volumes.where('project_id', '=', caller.project.id)
  }

  #filtered(caller: ProjectCaller, query: VolumeQuery) {
    let filtered = this.#catalog.db.selectFrom('volumes')
    if (!caller.isAdmin || !query.allProjects) filtered = filtered.where('project_id', '=', caller.project.id)
    if (query.projectId !== undefined) filtered = filtered.where('project_id', '=', query.projectId as ProjectId)
    if (query.userId !== undefined) filtered = filtered.where('user_id', '=', query.userId as UserId)
    if (query.ids !== undefined) filtered = filtered.where('id', 'in', query.ids as VolumeId[])
    if (query.name !== undefined) filtered = filtered.where('name', '=', query.name)
    if (query.status !== undefined) filtered = filtered.where('status', '=', query.status as VolumeStatus)
    if (query.bootable !== undefined) filtered = filtered.where('bootable', '=', flag(query.bootable))
    if (query.availabilityZone !== undefined) {
      filtered = filtered.where('availability_zone', '=', query.availabilityZone)
    }
    return withMetadata(filtered, 'volumes.id', 'volume_metadata', query.metadata)
  }

  async #told(db: Reader, row: VolumeRow): Promise<Volume> {
    const [volume] = await toVolumes(db, [row])
    return volume as Volume
  }
}

/** Does a machine have the volume, as far as it said so? */
const isAttached = ({ status }: AttachmentRow): boolean => status === 'attached'

async function attachedMustBe(db: Reader, { id }: VolumeRow, attached: boolean): Promise<void> {
  const attachments = (await attachmentsOf(db, [id])).get(id) ?? []
  if (attachments.some(isAttached) === attached) return
  const state = attached ? 'not attached' : 'attached'
  throw new InvalidArgument(`the volume ${id} is ${state}: that follows from its attachments and cannot be set`)
}

function sizeOf({ sizeGib }: NewVolume, origin: Omit<VolumeOrigin, 'resourceId'> | undefined): number {
  const size = sizeGib ?? origin?.leastGib
  if (size === undefined) throw new InvalidArgument('a blank volume needs a size')
  checkGib(size)
  if (origin !== undefined && size < origin.leastGib) throw new SizeTooSmall(size * GiB, origin.leastGib * GiB)
  return size
}

function checkGib(sizeGib: number): void {
  if (!Number.isSafeInteger(sizeGib) || sizeGib < 1 || sizeGib > maxGib) {
    throw new InvalidArgument(`the size of a volume is a whole number of GiB from 1 to ${maxGib}`)
  }
}

async function insertVolume(
  tx: Transaction,
  caller: ProjectCaller,
  volume: NewVolume,
  origin: Omit<VolumeOrigin, 'resourceId'> | undefined,
  { sizeGib, resource, status = 'available' }: { sizeGib: number; resource: ResourceId; status?: VolumeStatus },
): Promise<VolumeRow> {
  const { db } = tx
  const row: VolumeRow = {
    id: newVolumeId(),
    project_id: caller.project.id,
    user_id: caller.user.id,
    name: volume.name ?? null,
    description: volume.description ?? null,
    size_gib: sizeGib,
    status,
    bootable: flag(origin?.bootable ?? false),
    read_only: 0,
    source_volume_id: origin?.sourceVolumeId ?? null,
    snapshot_id: origin?.snapshotId ?? null,
    image_id: origin?.imageId ?? null,
    volume_type: volume.volumeType ?? '__DEFAULT__',
    availability_zone: volume.availabilityZone ?? 'nova',
    resource_id: resource,
    created_at: Date.now(),
    updated_at: null,
  }
  await takeId(db, row.id)
  await db.insertInto('volumes').values(row).execute()
  await countBlocks(tx, row.project_id, { volumes: 1, volumeGib: sizeGib })
  await insertValues(db, 'volume_metadata', row.id, volume.metadata ?? {})
  await insertValues(db, 'volume_image_metadata', row.id, origin?.imageMetadata ?? {})
  return row
}

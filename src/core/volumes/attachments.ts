/** Attachments: the right to use a volume over NBD, by an export name that nobody can guess and that dies with it. */

import { sql } from 'kysely'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { AttachmentRow, VolumeRow } from '../../catalog/schema.js'
import { type AttachmentId, newAttachmentId, newSecret, type ProjectId, type VolumeId } from '../../lib/ids.js'
import type { Exports, TenantAddress } from '../exports/exports.js'
import { column, numberOr, type PageOf, pageOf } from '../lists/pages.js'
import { collected, SlicePace } from '../lists/slices.js'
import { AttachmentNotFound, InvalidArgument, NoTenantDoor, VolumeAttachmentLimit } from '../model/errors.js'
import type { Attachment, Connector, Page, ProjectCaller, VolumeStatus } from '../model/records.js'
import { mayWrite, sees } from '../policy/access.js'
import { servesAttachment } from '../policy/rights.js'
import type { Tree } from '../tree/tree.js'
import { attachmentsOf, toAttachment } from './attachment_rows.js'
import { statusMustBe, volumeRow } from './volume_rows.js'

export type AttachmentSortKey = 'id' | 'created_at' | 'updated_at' | 'status' | 'volume_id'

export interface AttachmentQuery extends Page<AttachmentId, AttachmentSortKey> {
  /** Heeded for admins only. */
  allProjects?: boolean | undefined
  projectId?: string | undefined
  volumeId?: string | undefined
  instanceId?: string | undefined
  status?: string | undefined
}

export interface NewAttachment {
  volumeId: string
  instanceId?: string | null | undefined
  connector?: Connector | null | undefined
  /** Default: rw, or ro for a read-only volume. */
  mode?: 'rw' | 'ro' | undefined
  mountpoint?: string | null | undefined
}

/** What becomes known only when the machine has the volume; what is not named stays. */
export interface Completion {
  instanceId?: string | null | undefined
  hostName?: string | null | undefined
  mountpoint?: string | null | undefined
  mode?: 'rw' | 'ro' | undefined
}

const sortKeys = {
  id: column('id'),
  created_at: column('created_at'),
  updated_at: numberOr('updated_at'),
  status: column('status'),
  volume_id: column('volume_id'),
}

/** Each is part of its volume in lists, so their number is what bounds such an entry. */
const perVolumeMax = 128
const connectorBytesMax = 8 << 10

export class Attachments {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #exports: Exports

  constructor(parts: { catalog: Catalog; tree: Tree; exports: Exports }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#exports = parts.exports
  }

  /**
   * Without a connector the volume becomes `reserved`; with one it becomes `attaching` and the export works at once.
   * The volume must be available, or attached to the same instance already. Throws VolumeStateConflict, NoTenantDoor.
   */
  async create(caller: ProjectCaller, attachment: NewAttachment): Promise<Attachment> {
    mayWrite(caller)
    const stored = storedConnector(attachment.connector, this.#exports)
    return this.#catalog.transaction(async ({ db }) => {
      const volume = await volumeRow(db, caller, attachment.volumeId)
      const others = (await attachmentsOf(db, [volume.id])).get(volume.id) ?? []
      requireRoom(volume, others)
      statusMustBe(volume, attachableFrom(others, attachment.instanceId ?? null, false))
      return this.#told(db, caller, await insertAttachment(db, caller, volume, { ...attachment, stored }))
    })
  }

  /** Throws AttachmentNotFound. */
  async get(caller: ProjectCaller, id: string): Promise<Attachment> {
    return this.#told(this.#catalog.db, caller, await attachmentRow(this.#catalog.db, caller, id))
  }

  async list(caller: ProjectCaller, query: AttachmentQuery): Promise<Attachment[]> {
    return collected((await this.page(caller, query)).slices)
  }

  /** Throws AttachmentNotFound for a marker that the caller does not see. */
  async page(caller: ProjectCaller, query: AttachmentQuery, pace = new SlicePace()): Promise<PageOf<Attachment>> {
    const filtered = this.#filtered(caller, query)
    return pageOf<AttachmentRow, 'attachments', AttachmentSortKey, Attachment>(filtered, this.#visible(caller), {
      page: query,
      keys: sortKeys,
      notFound: AttachmentNotFound,
      pace,
      load: (rows) => this.#allTold(caller, rows),
      weigh: (ids) => this.#connectorBytes(ids),
    })
  }

  /** Ignores marker, limit and offset. */
  async count(caller: ProjectCaller, query: AttachmentQuery): Promise<number> {
    const { count } = await this.#filtered(caller, query)
      .select((e) => e.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /**
   * Gives or changes the connector: the export exists afterwards, as long as the caller may write. It gets a new name when it was another
   * user's: that one knows the old name. When it returns, the connections by the old name have ended.
   */
  async update(
    caller: ProjectCaller,
    id: string,
    change: { connector: Connector; mode?: 'rw' | 'ro' | undefined; mountpoint?: string | null | undefined },
  ): Promise<Attachment> {
    mayWrite(caller)
    const connector = storedConnector(change.connector, this.#exports)
    const { updated, gone } = await this.#catalog.transaction(async ({ db }) => {
      const row = await attachmentRow(db, caller, id)
      const volume = await volumeRow(db, caller, row.volume_id)
      const next: AttachmentRow = {
        ...row,
        connector,
        host_name: hostOf(change.connector),
        mode: change.mode === undefined ? row.mode : modeFor(volume, change.mode),
        mountpoint: change.mountpoint === undefined ? row.mountpoint : change.mountpoint,
        status: row.status === 'reserved' ? 'attaching' : row.status,
        ...takenBy(caller, row),
        updated_at: Date.now(),
      }
      await db.updateTable('attachments').set(next).where('id', '=', row.id).execute()
      await settleVolume(db, row.volume_id)
      return {
        updated: await this.#told(db, caller, next),
        gone: next.export_name === row.export_name ? null : row.export_name,
      }
    })
    await this.#exports.end([gone])
    return updated
  }

  /** The machine uses it: attachment `attached`, volume `in-use`. Throws InvalidArgument without a connector. */
  async complete(caller: ProjectCaller, id: string, completion: Completion = {}): Promise<Attachment> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const row = await attachmentRow(db, caller, id)
      if (row.export_name === null) throw new InvalidArgument(`the attachment ${id} has no connector yet`)
      const volume = await volumeRow(db, caller, row.volume_id)
      return this.#told(db, caller, await completeAttachment(db, volume, row, completion))
    })
  }

  /** When it returns, the export is gone and its connections have ended. The volume becomes available when it was the last one. */
  async delete(caller: ProjectCaller, id: string): Promise<void> {
    mayWrite(caller)
    const { db } = this.#catalog
    const { volume_id: volumeId } = await attachmentRow(db, caller, id)
    const { resource_id: resource } = await volumeRow(db, caller, volumeId)
    const gone = await this.#tree.locked(resource, () =>
      this.#catalog.reservedTransaction(async (tx: Transaction) => {
        const row = await attachmentRow(tx.db, caller, id)
        await tx.db.deleteFrom('attachments').where('id', '=', row.id).execute()
        await settleVolume(tx.db, row.volume_id)
        return row.export_name
      }),
    )
    await this.#exports.end([gone])
  }

  #visible(caller: ProjectCaller) {
    const attachments = this.#catalog.db.selectFrom('attachments')
    return caller.isAdmin ? attachments : attachments.where('project_id', '=', caller.project.id)
  }

  #filtered(caller: ProjectCaller, query: AttachmentQuery) {
    let filtered = this.#catalog.db.selectFrom('attachments')
    if (!caller.isAdmin || !query.allProjects) filtered = filtered.where('project_id', '=', caller.project.id)
    if (query.projectId !== undefined) filtered = filtered.where('project_id', '=', query.projectId as ProjectId)
    if (query.volumeId !== undefined) filtered = filtered.where('volume_id', '=', query.volumeId as VolumeId)
    if (query.instanceId !== undefined) filtered = filtered.where('instance_id', '=', query.instanceId)
    if (query.status !== undefined) filtered = filtered.where('status', '=', query.status as AttachmentRow['status'])
    return filtered
  }

  async #connectorBytes(ids: AttachmentId[]): Promise<Map<AttachmentId, number>> {
    const rows = await this.#catalog.db
      .selectFrom('attachments')
      .select(['id', sql<number>`coalesce(octet_length(connector), 0)`.as('bytes')])
      .where('id', 'in', ids)
      .execute()
    return new Map(rows.map(({ id, bytes }) => [id, bytes]))
  }

  async #allTold(caller: ProjectCaller, rows: readonly AttachmentRow[]): Promise<Attachment[]> {
    const volumes = await this.#catalog.db
      .selectFrom('volumes')
      .select(['id', 'size_gib'])
      .where(
        'id',
        'in',
        rows.map((row) => row.volume_id),
      )
      .execute()
    const sizes = new Map(volumes.map(({ id, size_gib }) => [id, size_gib]))
    const attachments: Attachment[] = []
    for (const row of rows) {
      const sizeGib = sizes.get(row.volume_id)
      // Deleted between the two questions.
      if (sizeGib === undefined) continue
      attachments.push(toAttachment(row, { sizeGib }, await this.#addressFor(this.#catalog.db, caller, row)))
    }
    return attachments
  }

  async #told(db: Reader, caller: ProjectCaller, row: AttachmentRow): Promise<Attachment> {
    const volume = await db
      .selectFrom('volumes')
      .select('size_gib')
      .where('id', '=', row.volume_id)
      .executeTakeFirstOrThrow()
    return toAttachment(row, { sizeGib: volume.size_gib }, await this.#addressFor(db, caller, row))
  }

  /** The export's name is a secret by which anybody can write: it is not for readers. undefined: not shown. */
  async #addressFor(db: Reader, caller: ProjectCaller, row: AttachmentRow): Promise<TenantAddress | undefined> {
    const shown = caller.canWrite && (await servesAttachment(db, row.user_id, row.project_id))
    return shown ? this.#exports.tenantAddress : undefined
  }
}

/** Throws AttachmentNotFound. */
async function attachmentRow(db: Reader, caller: ProjectCaller, id: string): Promise<AttachmentRow> {
  const row = await db
    .selectFrom('attachments')
    .selectAll()
    .where('id', '=', id as AttachmentId)
    .executeTakeFirst()
  if (row === undefined || !sees(caller, row.project_id)) throw new AttachmentNotFound(id)
  return row
}

/** Returns the connector as it is stored; null: none was given. Throws NoTenantDoor, InvalidArgument. */
export function storedConnector(connector: Connector, exports: Exports): string
export function storedConnector(connector: Connector | null | undefined, exports: Exports): string | null
export function storedConnector(connector: Connector | null | undefined, exports: Exports): string | null {
  if (connector === null || connector === undefined) return null
  if (exports.tenantAddress === undefined) throw new NoTenantDoor()
  const json = JSON.stringify(connector)
  if (json.length > connectorBytesMax) throw new InvalidArgument('the connector is too long')
  return json
}

/** Throws VolumeAttachmentLimit. */
export function requireRoom(volume: VolumeRow, others: readonly AttachmentRow[]): void {
  if (others.length >= perVolumeMax) throw new VolumeAttachmentLimit(volume.id, perVolumeMax)
}

/** In a transaction that has checked the volume's status; `stored`: the connector as storedConnector returned it. */
export async function insertAttachment(
  db: Reader,
  caller: ProjectCaller,
  volume: VolumeRow,
  { stored, ...attachment }: Omit<NewAttachment, 'volumeId'> & { stored: string | null },
): Promise<AttachmentRow> {
  const row: AttachmentRow = {
    id: newAttachmentId(),
    volume_id: volume.id,
    project_id: volume.project_id,
    user_id: caller.user.id,
    instance_id: attachment.instanceId ?? null,
    mode: modeFor(volume, attachment.mode),
    status: stored === null ? 'reserved' : 'attaching',
    mountpoint: attachment.mountpoint ?? null,
    host_name: hostOf(attachment.connector),
    connector: stored,
    export_name: stored === null ? null : newSecret(),
    created_at: Date.now(),
    attached_at: null,
    updated_at: null,
  }
  await db.insertInto('attachments').values(row).execute()
  await settleVolume(db, volume.id)
  return row
}

/** An attachment that a user takes over has another name: the user before knows the old one. */
export function takenBy(
  caller: ProjectCaller,
  row: AttachmentRow,
): { user_id: AttachmentRow['user_id']; export_name: string } {
  const own = row.user_id === caller.user.id
  return { user_id: caller.user.id, export_name: own && row.export_name !== null ? row.export_name : newSecret() }
}

export async function completeAttachment(
  db: Reader,
  volume: VolumeRow,
  row: AttachmentRow,
  { instanceId, hostName, mountpoint, mode }: Completion,
): Promise<AttachmentRow> {
  const now = Date.now()
  const next: AttachmentRow = {
    ...row,
    status: 'attached',
    instance_id: instanceId === undefined ? row.instance_id : instanceId,
    host_name: hostName === undefined ? row.host_name : hostName,
    mountpoint: mountpoint === undefined ? row.mountpoint : mountpoint,
    mode: mode === undefined ? row.mode : modeFor(volume, mode),
    attached_at: row.attached_at ?? now,
    updated_at: now,
  }
  await db.updateTable('attachments').set(next).where('id', '=', row.id).execute()
  await settleVolume(db, row.volume_id)
  return next
}

/** The volume's status follows from its attachments. */
export async function settleVolume(db: Reader, volume: VolumeId): Promise<void> {
  const attachments = (await attachmentsOf(db, [volume])).get(volume) ?? []
  const any = (status: AttachmentRow['status']) => attachments.some((attachment) => attachment.status === status)
  let status: VolumeStatus = 'available'
  if (any('attached')) status = 'in-use'
  else if (any('attaching')) status = 'attaching'
  else if (attachments.length > 0) status = 'reserved'
  await db.updateTable('volumes').set({ status, updated_at: Date.now() }).where('id', '=', volume).execute()
}

/** `takesReserved`: a volume that is `reserved` or `attaching` without any attachment was reserved for this one. */
export function attachableFrom(
  others: readonly AttachmentRow[],
  instanceId: string | null,
  takesReserved: boolean,
): VolumeStatus[] {
  if (instanceId !== null && others.some((other) => other.instance_id === instanceId)) {
    return ['available', 'reserved', 'attaching', 'in-use']
  }
  return takesReserved && others.length === 0 ? ['available', 'reserved', 'attaching'] : ['available']
}

function modeFor(volume: VolumeRow, mode: 'rw' | 'ro' | undefined): 'rw' | 'ro' {
  if (volume.read_only === 1 && mode === 'rw') throw new InvalidArgument(`the volume ${volume.id} is read-only`)
  return mode ?? (volume.read_only === 1 ? 'ro' : 'rw')
}

function hostOf(connector: Connector | null | undefined): string | null {
  const host = connector?.host
  return typeof host === 'string' ? host.slice(0, 255) : null
}

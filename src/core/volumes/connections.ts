/**
 * The older way of attaching, by actions on the volume: reserve, initialize, attach, and back by begin detaching, terminate,
 * detach. Underneath are the same attachments: initializing makes one, attaching completes it, detaching deletes it. As in
 * Cinder, an action that finds nothing to do succeeds (no reservation to give back, a volume that is detached already).
 *
 * Each action is one catalog transaction, so that no other change comes between what it checks and what it changes.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { AttachmentRow, VolumeRow } from '../../catalog/schema.js'
import { mayWrite } from '../policy/access.js'
import { attachmentsOf, toAttachment } from './attachment_rows.js'
import {
  attachableFrom,
  completeAttachment,
  insertAttachment,
  requireRoom,
  settleVolume,
  storedConnector,
  takenBy,
} from './attachments.js'
import { AttachmentNotOfVolume, SeveralAttachments } from '../model/errors.js'
import type { Exports } from '../exports/exports.js'
import type { Attachment, Connector, ProjectCaller, VolumeStatus } from '../model/records.js'
import { servesAttachment } from '../policy/rights.js'
import type { Tree } from '../tree/tree.js'
import { statusMustBe, volumeRow } from './volume_rows.js'

/** The machine that attaches the volume: an instance or a host. */
interface Machine {
  instanceId?: string | undefined
  hostName?: string | undefined
  mountpoint: string
  mode?: 'rw' | 'ro' | undefined
}

export class Connections {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #exports: Exports

  constructor(parts: { catalog: Catalog; tree: Tree; exports: Exports }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#exports = parts.exports
  }

  /** available → attaching. Throws VolumeStateConflict. */
  async reserve(caller: ProjectCaller, volumeId: string): Promise<void> {
    await this.#change(caller, volumeId, async (db, volume) => {
      statusMustBe(volume, ['available'])
      await setStatus(db, volume, 'attaching')
    })
  }

  /** Takes back a reservation that no attachment uses; does nothing if there is none. */
  async unreserve(caller: ProjectCaller, volumeId: string): Promise<void> {
    await this.#changeBack(caller, volumeId, async (db, volume, attachments) => {
      if (volume.status === 'attaching' && attachments.length === 0) await setStatus(db, volume, 'available')
    })
  }

  /** in-use → detaching. Throws VolumeStateConflict. */
  async beginDetaching(caller: ProjectCaller, volumeId: string): Promise<void> {
    await this.#changeBack(caller, volumeId, async (db, volume) => {
      statusMustBe(volume, ['in-use'])
      await setStatus(db, volume, 'detaching')
    })
  }

  /** detaching → in-use; does nothing to a volume in another state. */
  async rollDetaching(caller: ProjectCaller, volumeId: string): Promise<void> {
    await this.#changeBack(caller, volumeId, async (db, volume) => {
      if (volume.status === 'detaching') await setStatus(db, volume, 'in-use')
    })
  }

  /**
   * Returns the attachment of the connector's host, which is made when there is none yet. One whose user may not write any more is
   * the caller's from then on; when it returns, the connections by its old name have ended.
   * Throws VolumeStateConflict, NoTenantDoor, InvalidArgument.
   */
  async initialize(caller: ProjectCaller, volumeId: string, connector: Connector): Promise<Attachment> {
    const stored = storedConnector(connector, this.#exports)
    const { row, sizeGib, gone } = await this.#change(caller, volumeId, async (db, volume, attachments) => {
      const sizeGib = volume.size_gib
      const known = attachments.find((row) => row.export_name !== null && isOf(row, connector))
      if (known === undefined) {
        const row = await insertWaiting(db, caller, volume, attachments, { connector, stored })
        return { row, sizeGib, gone: null }
      }
      if (await servesAttachment(db, known.user_id, known.project_id)) return { row: known, sizeGib, gone: null }
      const row = { ...known, ...takenBy(caller, known), connector: stored, updated_at: Date.now() }
      await db.updateTable('attachments').set(row).where('id', '=', row.id).execute()
      return { row, sizeGib, gone: known.export_name }
    })
    await this.#exports.end([gone])
    return toAttachment(row, { sizeGib }, this.#exports.tenantAddress)
  }

  /**
   * Completes the attachment that was initialized, or makes one that is complete: the volume is in-use.
   * Throws VolumeStateConflict, NoTenantDoor, InvalidArgument.
   */
  async attach(caller: ProjectCaller, volumeId: string, machine: Machine): Promise<void> {
    const connector = { host: machine.hostName ?? '' }
    await this.#change(caller, volumeId, async (db, volume, attachments) => {
      const { instanceId, mode } = machine
      const waiting = attachments.find(
        (row) => row.status === 'attaching' && (row.instance_id === null || row.instance_id === instanceId),
      )
      const made = () => ({ connector, stored: storedConnector(connector, this.#exports), mode })
      const row = waiting ?? (await insertWaiting(db, caller, volume, attachments, made()))
      await completeAttachment(db, volume, row, machine)
    })
  }

  /**
   * Deletes the attachments of the connector's host (null: of every host). A completed attachment stays unless the volume is
   * detaching. When this returns, the exports are gone and their connections have ended.
   */
  async terminate(caller: ProjectCaller, volumeId: string, connector: Connector | null): Promise<void> {
    await this.#end(caller, volumeId, (volume, attachments) =>
      attachments.filter((row) => (row.status !== 'attached' || volume.status === 'detaching') && isOf(row, connector)),
    )
  }

  /**
   * Deletes the attachment of this ID, or the only one; a volume without attachments that is in-use or detaching becomes
   * available. Throws SeveralAttachments, AttachmentNotOfVolume.
   */
  async detach(caller: ProjectCaller, volumeId: string, id: string | undefined): Promise<void> {
    await this.#end(caller, volumeId, (volume, attachments) => {
      if (attachments.length === 0) return []
      if (id === undefined && attachments.length > 1) throw new SeveralAttachments(volume.id)
      const found = id === undefined ? attachments : attachments.filter((row) => row.id === id)
      if (found.length === 0) throw new AttachmentNotOfVolume(String(id))
      return found
    })
  }

  #change<T>(caller: ProjectCaller, volumeId: string, work: Work<T>): Promise<T> {
    return this.#catalog.transaction((tx) => withAttachments(tx, caller, volumeId, work))
  }

  /** On the way back, which must be open on a full disk too. */
  #changeBack<T>(caller: ProjectCaller, volumeId: string, work: Work<T>): Promise<T> {
    return this.#catalog.reservedTransaction((tx) => withAttachments(tx, caller, volumeId, work))
  }

  /** Deletes the chosen attachments under the lock of the volume's resource, as exports.ts requires. */
  async #end(
    caller: ProjectCaller,
    volumeId: string,
    choose: (volume: VolumeRow, attachments: AttachmentRow[]) => AttachmentRow[],
  ): Promise<void> {
    const { resource_id: resource } = await volumeRow(this.#catalog.db, caller, volumeId)
    const ended = await this.#tree.locked(resource, () =>
      this.#changeBack(caller, volumeId, async (db, volume, attachments) => {
        const chosen = choose(volume, attachments)
        for (const { id } of chosen) await db.deleteFrom('attachments').where('id', '=', id).execute()
        const idle = attachments.length === 0 && (volume.status === 'detaching' || volume.status === 'in-use')
        if (chosen.length > 0 || idle) await settleVolume(db, volume.id)
        return chosen.map((row) => row.export_name)
      }),
    )
    await this.#exports.end(ended)
  }
}

type Work<T> = (db: Reader, volume: VolumeRow, attachments: AttachmentRow[]) => Promise<T>

async function withAttachments<T>(
  { db }: Transaction,
  caller: ProjectCaller,
  volumeId: string,
  work: Work<T>,
): Promise<T> {
  const volume = await volumeRow(db, caller, volumeId)
  mayWrite(caller)
  return work(db, volume, (await attachmentsOf(db, [volume.id])).get(volume.id) ?? [])
}

async function setStatus(db: Reader, { id }: VolumeRow, status: VolumeStatus): Promise<void> {
  await db.updateTable('volumes').set({ status, updated_at: Date.now() }).where('id', '=', id).execute()
}

/** An attachment with an export, of a volume that is available or was reserved for this. */
async function insertWaiting(
  db: Reader,
  caller: ProjectCaller,
  volume: VolumeRow,
  others: readonly AttachmentRow[],
  wanted: { connector: Connector; stored: string; mode?: 'rw' | 'ro' | undefined },
): Promise<AttachmentRow> {
  requireRoom(volume, others)
  statusMustBe(volume, attachableFrom(others, null, true))
  return insertAttachment(db, caller, volume, wanted)
}

/** An attachment or connector without a host matches every host. */
function isOf(row: AttachmentRow, connector: Connector | null): boolean {
  const host = connector?.['host']
  return host === undefined || row.host_name === null || row.host_name === host
}

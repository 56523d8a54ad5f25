/** Volumes as they are stored and as they are told. */

import type { Reader } from '../../catalog/types.js'
import { valuesOf } from '../../catalog/named_values.js'
import type { VolumeRow } from '../../catalog/schema.js'
import type { VolumeId } from '../../lib/ids.js'
import { sees } from '../policy/access.js'
import { attachmentsOf, toAttachment } from './attachment_rows.js'
import { VolumeNotFound, VolumeStateConflict } from '../model/errors.js'
import type { ProjectCaller, Volume, VolumeStatus } from '../model/records.js'

/** Throws VolumeNotFound. */
export async function volumeRow(db: Reader, caller: ProjectCaller, id: string): Promise<VolumeRow> {
  const row = await db
    .selectFrom('volumes')
    .selectAll()
    .where('id', '=', id as VolumeId)
    .executeTakeFirst()
  if (row === undefined || !sees(caller, row.project_id)) throw new VolumeNotFound(id)
  return row
}

/** With their metadata and attachments (those without connection info), in the order of the rows. */
export async function toVolumes(db: Reader, rows: readonly VolumeRow[]): Promise<Volume[]> {
  const ids = rows.map((row) => row.id)
  const metadata = await valuesOf(db, 'volume_metadata', ids)
  const imageMetadata = await valuesOf(db, 'volume_image_metadata', ids)
  const attachments = await attachmentsOf(db, ids)
  return rows.map((row) => ({
    id: row.id,
    projectId: row.project_id,
    userId: row.user_id,
    name: row.name,
    description: row.description,
    sizeGib: row.size_gib,
    status: row.status,
    bootable: row.bootable === 1,
    readOnly: row.read_only === 1,
    sourceVolumeId: row.source_volume_id,
    snapshotId: row.snapshot_id,
    imageId: row.image_id,
    volumeType: row.volume_type,
    availabilityZone: row.availability_zone,
    metadata: metadata.get(row.id) ?? {},
    imageMetadata: imageMetadata.get(row.id) ?? {},
    resourceId: row.resource_id,
    attachments: (attachments.get(row.id) ?? []).map((attachment) =>
      toAttachment(attachment, { sizeGib: row.size_gib }, undefined),
    ),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }))
}

/** Throws VolumeStateConflict. */
export function statusMustBe(row: VolumeRow, allowed: readonly VolumeStatus[]): void {
  if (!allowed.includes(row.status)) throw new VolumeStateConflict(row.id, row.status, allowed.join(' or '))
}

/** Snapshots as they are stored and as they are told. */

import type { Reader } from '../../catalog/types.js'
import { valuesOf } from '../../catalog/named_values.js'
import type { SnapshotRow } from '../../catalog/schema.js'
import type { SnapshotId } from '../../lib/ids.js'
import { sees } from '../policy/access.js'
import { SnapshotNotFound } from '../model/errors.js'
import type { ProjectCaller, Snapshot } from '../model/records.js'

/** Throws SnapshotNotFound. */
export async function snapshotRow(db: Reader, caller: ProjectCaller, id: string): Promise<SnapshotRow> {
  const row = await db
    .selectFrom('snapshots')
    .selectAll()
    .where('id', '=', id as SnapshotId)
    .where('listed', '=', 1)
    .executeTakeFirst()
  if (row === undefined || !sees(caller, row.project_id)) throw new SnapshotNotFound(id)
  return row
}

/** With their metadata, in the order of the rows. */
export async function toSnapshots(db: Reader, rows: readonly SnapshotRow[]): Promise<Snapshot[]> {
  const ids = rows.map((row) => row.id)
  const metadata = await valuesOf(db, 'snapshot_metadata', ids)
  const imageMetadata = await valuesOf(db, 'snapshot_image_metadata', ids)
  return rows.map((row) => ({
    id: row.id,
    volumeId: row.volume_id,
    projectId: row.project_id,
    userId: row.user_id,
    name: row.name,
    description: row.description,
    sizeGib: row.size_gib,
    status: row.status,
    metadata: metadata.get(row.id) ?? {},
    imageMetadata: imageMetadata.get(row.id) ?? {},
    bootable: row.bootable === 1,
    resourceId: row.resource_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }))
}

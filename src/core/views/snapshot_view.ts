/**
 * An image with the property EXCLUDE_ALL_TASKS is a snapshot: Cinder lists it, and a volume made from it is its bytes as they are. A
 * snapshot and its image have the same ID, name and resource. The row in `snapshots` says what a snapshot is beside an image; it stays,
 * unlisted, when the property is removed, so that the snapshot is what it was when the property is set again.
 */

import type { Reader, Transaction } from '../../catalog/types.js'
import { insertValues } from '../../catalog/named_values.js'
import { flag, type ImageRow, type SnapshotRow } from '../../catalog/schema.js'
import type { ImageId, SnapshotId, UserId } from '../../lib/ids.js'
import { gibOf } from '../../lib/units.js'
import type { Metadata } from '../model/records.js'
import { countBlocks } from './block_usage.js'
import { inheritedProperties } from './inherited_properties.js'
import { insertOwnObject } from './own_objects.js'

export const excludeAllTasks = 'EXCLUDE_ALL_TASKS'

/** Bytes that are a disk as they are. A qcow2 file cloned block by block would be no disk. */
export const rawFormats: readonly (string | null)[] = ['raw', 'iso', 'ami', 'ari', 'aki']

/** Lists the image as a snapshot, or no longer, as it says now. In the transaction that changed it. `user`: who changed it. */
export async function settleSnapshot(tx: Transaction, image: ImageRow, user: UserId): Promise<void> {
  const id = image.id as string as SnapshotId
  const before = await tx.db.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirst()
  const listed = await isSnapshot(tx.db, image)
  if (before === undefined) {
    if (listed) await insertSnapshot(tx, image, user)
    return
  }
  const moved = before.project_id !== image.owner
  const next = {
    listed: flag(listed),
    name: image.name,
    project_id: image.owner,
    // A volume is another project's then.
    volume_id: moved ? null : before.volume_id,
  }
  if (before.listed === next.listed && before.name === next.name && !moved) return
  await tx.db.updateTable('snapshots').set(next).where('id', '=', id).execute()
  if (before.listed === 1) await countBlocks(tx, before.project_id, { snapshots: -1 })
  if (listed) await countBlocks(tx, next.project_id, { snapshots: 1 })
}

async function isSnapshot(db: Reader, { id, status, resource_id, disk_format }: ImageRow): Promise<boolean> {
  if (status !== 'active' || resource_id === null || !rawFormats.includes(disk_format)) return false
  const property = await db
    .selectFrom('image_properties')
    .select('value')
    .where('image_id', '=', id)
    .where('name', '=', excludeAllTasks)
    .executeTakeFirst()
  return property !== undefined && property.value !== ''
}

async function insertSnapshot(tx: Transaction, image: ImageRow, user: UserId): Promise<void> {
  const { resource_id: resource, size_bytes: sizeBytes } = image
  if (resource === null || sizeBytes === null) throw new Error(`the image ${image.id} has no data`)
  const row: SnapshotRow = {
    id: image.id as string as SnapshotId,
    volume_id: null,
    listed: 1,
    project_id: image.owner,
    user_id: user,
    name: image.name,
    description: null,
    size_gib: Math.max(gibOf(sizeBytes), 1),
    status: 'available',
    bootable: 1,
    resource_id: resource,
    created_at: image.created_at,
    updated_at: null,
  }
  await tx.db.insertInto('snapshots').values(row).execute()
  await countBlocks(tx, row.project_id, { snapshots: 1 })
}

/** Properties that an image may have besides (image_limits.ts has the limit). */
const inheritedMax = 120

/** The image and the object of a snapshot that was taken of a volume. `imageMetadata`: of the volume. */
export async function insertImageOfSnapshot(
  tx: Transaction,
  snapshot: SnapshotRow,
  { sizeBytes, imageMetadata }: { sizeBytes: number; imageMetadata: Metadata },
): Promise<void> {
  const { id, name, project_id: owner, resource_id: resourceId, created_at: now } = snapshot
  const object = { projectId: owner, container: 'snapshots', name, id, resourceId, sizeBytes } as const
  const image: ImageRow = {
    id: id as string as ImageId,
    name,
    status: 'active',
    visibility: 'private',
    owner,
    protected: 0,
    hidden: 0,
    disk_format: 'raw',
    container_format: 'bare',
    min_disk_gib: snapshot.size_gib,
    min_ram_mib: 0,
    size_bytes: sizeBytes,
    md5: null,
    sha256: null,
    resource_id: resourceId,
    location: `cinder://snapshots/${id}`,
    origin: 'snapshot',
    object_id: await insertOwnObject(tx, { ...object, md5: null, sha256: null }),
    virtual_size_bytes: sizeBytes,
    created_at: now,
    updated_at: now,
  }
  await tx.db.insertInto('images').values(image).execute()
  const inherited = Object.entries(inheritedProperties(imageMetadata)).slice(0, inheritedMax)
  await insertValues(tx.db, 'image_properties', id, {
    ...Object.fromEntries(inherited),
    image_type: 'snapshot',
    [excludeAllTasks]: 'yes',
  })
}

/**
 * What goes along when an image or a snapshot is deleted. The space is freed with the last view of the resource.
 *
 *   deleted through            image                           snapshot             its own object
 *   Glance, as an upload       goes                            goes, if it is one   goes
 *   Glance, otherwise          goes                            goes, if it is one   stays
 *   Cinder                     goes, unless it is protected    goes                 goes
 *
 * An object that an image was registered from is nobody's own, and stays.
 */

import type { Transaction } from '../../catalog/types.js'
import type { ImageRow, SnapshotRow } from '../../catalog/schema.js'
import type { ImageId, SnapshotId } from '../../lib/ids.js'
import { ImageProtected } from '../model/errors.js'
import type { Tree } from '../tree/tree.js'
import { countBlocks } from './block_usage.js'
import { removeOwnObject } from './own_objects.js'

/** The caller holds the lock of the resource, and ends the exports of the ID afterwards. */
export async function removeImage(tx: Transaction, tree: Tree, image: ImageRow): Promise<void> {
  const snapshot = await tx.db
    .selectFrom('snapshots')
    .selectAll()
    .where('id', '=', image.id as string as SnapshotId)
    .executeTakeFirst()
  if (snapshot !== undefined) await removeSnapshotRow(tx, snapshot)
  await removeImageRow(tx, tree, image)
  if (image.origin === 'upload' && image.object_id !== null) await removeOwnObject(tx, image.object_id)
  if (image.resource_id !== null) await tree.release(tx, image.resource_id)
}

/** The same for a snapshot. Throws ImageProtected. */
export async function removeSnapshot(tx: Transaction, tree: Tree, snapshot: SnapshotRow): Promise<void> {
  const image = await tx.db
    .selectFrom('images')
    .selectAll()
    .where('id', '=', snapshot.id as string as ImageId)
    .executeTakeFirst()
  if (image?.protected === 1) throw new ImageProtected(image.id)
  await removeSnapshotRow(tx, snapshot)
  if (image !== undefined) await removeImageRow(tx, tree, image)
  if (image?.object_id != null) await removeOwnObject(tx, image.object_id)
  await tree.release(tx, snapshot.resource_id)
}

/** With its raw twin. */
async function removeImageRow(tx: Transaction, tree: Tree, { id }: ImageRow): Promise<void> {
  const twin = await tx.db.deleteFrom('image_twins').where('id', '=', id).returning('resource_id').executeTakeFirst()
  if (twin !== undefined) await tree.release(tx, twin.resource_id)
  await tx.db.deleteFrom('images').where('id', '=', id).execute()
}

async function removeSnapshotRow(tx: Transaction, { id, listed, project_id }: SnapshotRow): Promise<void> {
  await tx.db.deleteFrom('snapshots').where('id', '=', id).execute()
  if (listed === 1) await countBlocks(tx, project_id, { snapshots: -1 })
}

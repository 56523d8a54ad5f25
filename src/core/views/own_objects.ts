/**
 * Objects that come with an image or a snapshot: in the container `images` or `snapshots` of the owner's account, on the same
 * resource. Once there, it is an object like any other, which its owner may overwrite, rename by a copy, or delete.
 */

import { randomUUID } from 'node:crypto'
import type { Reader, Transaction } from '../../catalog/types.js'
import type { ObjectRow } from '../../catalog/schema.js'
import { type ContainerId, newObjectId, type ObjectId, type ProjectId, type ResourceId } from '../../lib/ids.js'
import { containerById, count, ensureContainer } from '../objects/containers.js'
import { findObject, objectInsert, objectNameBytesMax } from '../objects/objects.js'

interface OwnObject {
  projectId: ProjectId
  container: 'images' | 'snapshots'
  /** Of the image or snapshot; null: it has none. */
  name: string | null
  /** Of the image or snapshot. */
  id: string
  resourceId: ResourceId
  sizeBytes: number
  md5: string | null
  sha256: string | null
}

export async function insertOwnObject(tx: Transaction, own: OwnObject): Promise<ObjectId> {
  const container = await ensureContainer(tx, own.projectId, own.container)
  const now = Date.now()
  const row: ObjectRow = {
    id: newObjectId(),
    container_id: container.id,
    name: await freeName(tx.db, container.id, own),
    resource_id: own.resourceId,
    size_bytes: own.sizeBytes,
    md5: own.md5,
    sha256: own.sha256,
    content_type: 'application/octet-stream',
    created_at: now,
    updated_at: now,
    indirection: null,
    expires_at: null,
  }
  await objectInsert.run(tx.db, row)
  await count(tx, container, { objects: 1, bytes: row.size_bytes })
  return row.id
}

/** Does nothing if the object has been deleted or replaced. The caller releases the resource. */
export async function removeOwnObject(tx: Transaction, id: ObjectId): Promise<void> {
  const row = await tx.db.selectFrom('objects').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) return
  await tx.db.deleteFrom('objects').where('id', '=', id).execute()
  const container = await containerById(tx.db, row.container_id)
  await count(tx, container, { objects: -1, bytes: -row.size_bytes })
}

/** The name if no object has it; with the ID added otherwise. Nothing is ever overwritten. */
async function freeName(db: Reader, container: ContainerId, { name, id }: OwnObject): Promise<string> {
  const plain = name?.replaceAll('\0', '') || id
  const wanted = firstBytes(plain, objectNameBytesMax)
  if ((await findObject(db, container, wanted)) === undefined) return wanted
  const stem = firstBytes(plain, objectNameBytesMax - uuidBytes - 1)
  const withId = `${stem}.${id}`
  // Nobody else chose that name, unless to be in the way.
  return (await findObject(db, container, withId)) === undefined ? withId : `${stem}.${randomUUID()}`
}

const uuidBytes = 36

/** As many whole characters as fit. */
function firstBytes(text: string, bytesMax: number): string {
  let bytes = 0
  let end = 0
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    if (bytes > bytesMax) return text.slice(0, end)
    end += character.length
  }
  return text
}

/** Images as they are stored and as they are told. */

import type { Reader } from '../../catalog/types.js'
import { valuesOf } from '../../catalog/named_values.js'
import type { ImageRow } from '../../catalog/schema.js'
import { PreparedIn } from '../../catalog/prepared_in.js'
import type { ImageId } from '../../lib/ids.js'
import { ImageNotFound, NotAllowed } from '../model/errors.js'
import type { Image, ProjectCaller } from '../model/records.js'
import { mayWrite } from '../policy/access.js'
import { rawFormats } from '../views/snapshot_view.js'

/** Throws ImageNotFound, also for ids that are no UUIDs and for what the caller may not see. */
export async function imageRow(db: Reader, caller: ProjectCaller, id: string): Promise<ImageRow> {
  const row = await db
    .selectFrom('images')
    .selectAll()
    .where('id', '=', id as ImageId)
    .executeTakeFirst()
  if (row === undefined || !(seesImage(caller, row) || (await isMember(db, caller, row)))) throw new ImageNotFound(id)
  return row
}

/** For changing it: to see an image is not to own it. Throws ImageNotFound, NotAllowed. */
export async function ownImageRow(db: Reader, caller: ProjectCaller, id: string): Promise<ImageRow> {
  const row = await imageRow(db, caller, id)
  mayWrite(caller)
  if (!caller.isAdmin && row.owner !== caller.project.id)
    throw new NotAllowed("admin, or member of the image's project")
  return row
}

/** Whatever it makes of it. */
async function isMember(db: Reader, caller: ProjectCaller, { id, visibility }: ImageRow): Promise<boolean> {
  if (visibility !== 'shared') return false
  const row = await db
    .selectFrom('image_members')
    .select('member')
    .where('image_id', '=', id)
    .where('member', '=', caller.project.id)
    .executeTakeFirst()
  return row !== undefined
}

function seesImage(caller: ProjectCaller, { owner, visibility }: ImageRow): boolean {
  return caller.isAdmin || owner === caller.project.id || visibility === 'public' || visibility === 'community'
}

/** With their properties and tags, in the order of the rows. */
export async function toImages(db: Reader, rows: readonly ImageRow[]): Promise<Image[]> {
  const ids = rows.map((row) => row.id)
  const properties = await valuesOf(db, 'image_properties', ids)
  const tags = await tagsOf(db, ids)
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    status: row.status,
    visibility: row.visibility,
    owner: row.owner,
    protected: row.protected === 1,
    hidden: row.hidden === 1,
    diskFormat: row.disk_format,
    containerFormat: row.container_format,
    minDiskGib: row.min_disk_gib,
    minRamMib: row.min_ram_mib,
    sizeBytes: row.size_bytes,
    md5: row.md5,
    sha256: row.sha256,
    // Rows of before this was recorded have none.
    virtualSizeBytes: row.virtual_size_bytes ?? (rawFormats.includes(row.disk_format) ? row.size_bytes : null),
    resourceId: row.resource_id,
    location: row.location,
    properties: properties.get(row.id) ?? {},
    tags: tags.get(row.id) ?? [],
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }))
}

export async function toImage(db: Reader, row: ImageRow): Promise<Image> {
  const [image] = await toImages(db, [row])
  return image as Image
}

const tagsIn = new PreparedIn<{ image_id: ImageId; tag: string }, ImageId>((db, images) =>
  db.selectFrom('image_tags').selectAll().where('image_id', 'in', images).orderBy('tag').compile(),
)

async function tagsOf(db: Reader, ids: readonly ImageId[]): Promise<Map<ImageId, string[]>> {
  const tags = new Map<ImageId, string[]>()
  for (const { image_id: id, tag } of await tagsIn.all(db, ids)) {
    const list = tags.get(id)
    if (list) list.push(tag)
    else tags.set(id, [tag])
  }
  return tags
}

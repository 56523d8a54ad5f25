/** Rows of images, written in a transaction: who may set what, and within which limits. */

import type { Reader, Transaction } from '../../catalog/types.js'
import { insertValues, replaceValues } from '../../catalog/named_values.js'
import { flag, type ImageRow } from '../../catalog/schema.js'
import { type ImageId, isUuid, newImageId, type ProjectId } from '../../lib/ids.js'
import { ImageExists, ImageFormatFixed, InvalidArgument, NotAllowed, ProjectNotFound } from '../model/errors.js'
import type { ImageVisibility, Metadata, ProjectCaller } from '../model/records.js'
import { takeId } from '../tree/used_ids.js'
import { settleSnapshot } from '../views/snapshot_view.js'
import { checkImageLimits } from './image_limits.js'

export interface NewImage {
  /** A UUID that the client chose; ImageExists if it was ever used. */
  id?: string | undefined
  name?: string | null | undefined
  /** `public` is for admins. Default: shared. */
  visibility?: ImageVisibility | undefined
  /** Only an admin may name another project than the own. */
  owner?: string | undefined
  protected?: boolean | undefined
  hidden?: boolean | undefined
  diskFormat?: string | null | undefined
  containerFormat?: string | null | undefined
  minDiskGib?: number | undefined
  minRamMib?: number | undefined
  properties?: Metadata | undefined
  tags?: string[] | undefined
}

/** What PATCH may change; what is not named stays. `properties` and `tags` replace the whole set. */
export type ImageChange = Omit<NewImage, 'id'>

export async function insertImage({ db }: Transaction, caller: ProjectCaller, image: NewImage): Promise<ImageRow> {
  await authorizeChange(db, caller, image)
  checkImageLimits(image)
  const id = (image.id ?? newImageId()) as ImageId
  if (!isUuid(id)) throw new InvalidArgument('the id of an image is a UUID in lower case')
  if (!(await takeId(db, id))) throw new ImageExists(id)
  const now = Date.now()
  const row: ImageRow = {
    id,
    name: image.name ?? null,
    status: 'queued',
    visibility: image.visibility ?? 'shared',
    owner: (image.owner ?? caller.project.id) as ProjectId,
    protected: flag(image.protected ?? false),
    hidden: flag(image.hidden ?? false),
    disk_format: image.diskFormat ?? null,
    container_format: image.containerFormat ?? null,
    min_disk_gib: image.minDiskGib ?? 0,
    min_ram_mib: image.minRamMib ?? 0,
    size_bytes: null,
    md5: null,
    sha256: null,
    resource_id: null,
    location: null,
    origin: null,
    object_id: null,
    virtual_size_bytes: null,
    created_at: now,
    updated_at: now,
  }
  await db.insertInto('images').values(row).execute()
  await insertValues(db, 'image_properties', row.id, image.properties ?? {})
  await replaceTags(db, row.id, image.tags ?? [])
  return row
}

export async function changeImage(
  tx: Transaction,
  caller: ProjectCaller,
  row: ImageRow,
  change: ImageChange,
): Promise<ImageRow> {
  const { db } = tx
  await authorizeChange(db, caller, change, row)
  checkImageLimits(change)
  const next: ImageRow = {
    ...row,
    name: change.name === undefined ? row.name : change.name,
    visibility: change.visibility ?? row.visibility,
    owner: (change.owner ?? row.owner) as ProjectId,
    protected: change.protected === undefined ? row.protected : flag(change.protected),
    hidden: change.hidden === undefined ? row.hidden : flag(change.hidden),
    disk_format: change.diskFormat === undefined ? row.disk_format : change.diskFormat,
    container_format: change.containerFormat === undefined ? row.container_format : change.containerFormat,
    min_disk_gib: change.minDiskGib ?? row.min_disk_gib,
    min_ram_mib: change.minRamMib ?? row.min_ram_mib,
    updated_at: Date.now(),
  }
  if (next.owner !== row.owner && row.object_id !== null) {
    // The object is the former owner's, as if the image had been registered from it.
    next.origin = 'registration'
    next.object_id = null
  }
  await db.updateTable('images').set(next).where('id', '=', row.id).execute()
  if (change.properties) await replaceValues(db, 'image_properties', row.id, change.properties)
  if (change.tags) await replaceTags(db, row.id, change.tags)
  await settleSnapshot(tx, next, caller.user.id)
  return next
}

/** The formats say what the data is: with the data they are fixed, as in Glance, also for admins. Throws ImageFormatFixed. */
function checkFormats(change: ImageChange, { id, status }: ImageRow): void {
  if (status === 'queued') return
  if (change.diskFormat !== undefined) throw new ImageFormatFixed('disk_format', id, status)
  if (change.containerFormat !== undefined) throw new ImageFormatFixed('container_format', id, status)
}

/** Throws NotAllowed, ProjectNotFound, ImageFormatFixed. The API has validated the form. */
async function authorizeChange(
  db: Reader,
  caller: ProjectCaller,
  image: NewImage | ImageChange,
  now?: ImageRow,
): Promise<void> {
  const { owner, visibility } = image
  if (now !== undefined) checkFormats(image, now)
  if (visibility === 'public' && now?.visibility !== 'public' && !caller.isAdmin) throw new NotAllowed('admin')
  if (owner === undefined || owner === (now?.owner ?? caller.project.id)) return
  if (!caller.isAdmin) throw new NotAllowed('admin')
  const project = await db
    .selectFrom('projects')
    .select('id')
    .where('id', '=', owner as ProjectId)
    .where('is_domain', '=', 0)
    .executeTakeFirst()
  if (project === undefined) throw new ProjectNotFound(owner)
}

export async function replaceTags(db: Reader, id: ImageId, tags: readonly string[]): Promise<void> {
  await db.deleteFrom('image_tags').where('image_id', '=', id).execute()
  const rows = [...new Set(tags)].map((tag) => ({ image_id: id, tag }))
  if (rows.length > 0) await db.insertInto('image_tags').values(rows).execute()
}

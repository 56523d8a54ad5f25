/** Images: a ro resource with what Glance says about it. Its data comes by an upload (image_data.ts) or from what is stored already. */

import type { Catalog, Reader, Transaction } from '../../catalog/catalog.js'
import { insertValues, replaceValues } from '../../catalog/named_values.js'
import { flag, type ImageRow } from '../../catalog/schema.js'
import { type ImageId, isUuid, newImageId, type ProjectId } from '../../lib/ids.js'
import { mayWrite } from '../policy/access.js'
import {
  ImageChanged,
  ImageExists,
  ImageFormatFixed,
  ImageNotReady,
  ImageProtected,
  ImageTagNotFound,
  InvalidArgument,
  NotAllowed,
  ProjectNotFound,
} from '../model/errors.js'
import type { Exports } from '../exports/exports.js'
import { giveData, ImageData, type ImageUpload, type OpenImage, type RegisteredLocation } from './image_data.js'
import { checkImageLimits } from './image_limits.js'
import { type ImageQuery, pageOfImages } from './image_list.js'
import { imageRow, ownImageRow, toImages } from './image_rows.js'
import type { PageOf } from '../lists/pages.js'
import type { Image, ImageVisibility, Metadata, ProjectCaller } from '../model/records.js'
import { collected, SlicePace } from '../lists/slices.js'
import type { Tree } from '../tree/tree.js'
import { takeId } from '../tree/used_ids.js'

export type { OpenImage, RegisteredLocation } from './image_data.js'
export type { Comparison, ImageQuery, ImageSortKey } from './image_list.js'

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

/** What a request makes of an image: `location` gives it its data, in the same transaction as the change. */
interface ImageEdit {
  change?: ImageChange | undefined
  location?: RegisteredLocation | undefined
}

/** The resource of an image changes only once, from none to its data, so that a delete starts again at most once. */
const deleteAttempts = 2

export class Images {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #exports: Exports
  readonly #data: ImageData

  constructor(parts: { catalog: Catalog; tree: Tree; exports: Exports }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#exports = parts.exports
    this.#data = new ImageData(parts)
  }

  /**
   * Status `queued`; with a location `active`, with the data of what is stored there, or nothing at all.
   * Throws ImageExists, LocationMismatch, LocationNotServed, and what the location's own kind throws.
   */
  async create(caller: ProjectCaller, image: NewImage, location?: RegisteredLocation): Promise<Image> {
    mayWrite(caller)
    return this.#data.withData(caller, location?.url, async (tx, data) => {
      const row = await insertImage(tx, caller, image)
      return location === undefined ? told(tx.db, row) : giveData(tx.db, row, { location, data })
    })
  }

  /** Throws ImageNotFound, also for ids that are no UUIDs and for what the caller may not see. */
  async get(caller: ProjectCaller, id: string): Promise<Image> {
    const { db } = this.#catalog
    return told(db, await imageRow(db, caller, id))
  }

  async list(caller: ProjectCaller, query: ImageQuery): Promise<Image[]> {
    return collected((await this.page(caller, query)).slices)
  }

  /** Throws ImageNotFound for a marker that the caller does not see. */
  async page(caller: ProjectCaller, query: ImageQuery, pace = new SlicePace()): Promise<PageOf<Image>> {
    return pageOfImages(this.#catalog.db, caller, query, pace)
  }

  /** Throws ImageNotFound, NotAllowed, ImageFormatFixed. */
  update(caller: ProjectCaller, id: string, change: ImageChange): Promise<Image> {
    return this.edit(caller, id, () => ({ change }))
  }

  /**
   * Changes an image as `edit` says, including the data of a location, in one transaction. `edit` is called more than once;
   * an error that it throws refuses the change.
   */
  async edit(caller: ProjectCaller, id: string, edit: (image: Image) => ImageEdit): Promise<Image> {
    const { db } = this.#catalog
    // The location must be known before the transaction, because a volume is snapshotted for it.
    const { location: expected } = edit(await told(db, await ownImageRow(db, caller, id)))
    return this.#data.withData(caller, expected?.url, async (tx, data) => {
      const row = await ownImageRow(tx.db, caller, id)
      const { change = {}, location } = edit(await told(tx.db, row))
      const next = Object.keys(change).length === 0 ? row : await changeRow(tx.db, caller, row, change)
      if (location === undefined) return told(tx.db, next)
      if (location.url !== expected?.url) throw new ImageChanged(row.id)
      return giveData(tx.db, next, { location, data })
    })
  }

  /** Idempotent. */
  async addTag(caller: ProjectCaller, id: string, tag: string): Promise<void> {
    await this.#changeTags(caller, id, (tags) => [...tags, tag])
  }

  /** Throws ImageTagNotFound. */
  async removeTag(caller: ProjectCaller, id: string, tag: string): Promise<void> {
    await this.#changeTags(caller, id, (tags) => {
      if (!tags.includes(tag)) throw new ImageTagNotFound(id, tag)
      return tags.filter((other) => other !== tag)
    })
  }

  /** For admins: `deactivated` images cannot be downloaded or cloned. Throws ImageNotReady without data. */
  async setActive(caller: ProjectCaller, id: string, active: boolean): Promise<void> {
    if (!caller.isAdmin) throw new NotAllowed('admin')
    await this.#catalog.transaction(async ({ db }) => {
      const row = await ownImageRow(db, caller, id)
      if (row.status !== 'active' && row.status !== 'deactivated') throw new ImageNotReady(row.id, row.status)
      const status = active ? 'active' : 'deactivated'
      await db.updateTable('images').set({ status, updated_at: Date.now() }).where('id', '=', row.id).execute()
    })
  }

  /** Throws ImageProtected, NotAllowed. Its clones live on, and so does the object or snapshot it was registered from. */
  async delete(caller: ProjectCaller, id: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { resource_id: resource } = await ownImageRow(this.#catalog.db, caller, id)
      const remove = () =>
        this.#catalog.reservedTransaction(async (tx) => {
          const row = await ownImageRow(tx.db, caller, id)
          if (row.protected === 1) throw new ImageProtected(row.id)
          // The image got its data after the first look; the lock of that resource must be held as well (exports.ts).
          if (row.resource_id !== resource) return false
          await tx.db.deleteFrom('images').where('id', '=', row.id).execute()
          if (row.resource_id !== null) await this.#tree.release(tx, row.resource_id)
          return true
        })
      if (await (resource === null ? remove() : this.#tree.locked(resource, remove))) break
      if (attempt === deleteAttempts) throw new ImageChanged(id)
    }
    await this.#exports.end([id])
  }

  // ---- data ----

  /** `queued` → `saving` → `active`; back to `queued` when it fails. Throws ImageHasData, ImageInUse, ImageFormatMissing. */
  upload(caller: ProjectCaller, id: string, upload: ImageUpload): Promise<Image> {
    return this.#data.upload(caller, id, upload)
  }

  /** Throws ImageNotReady. The caller must close it. */
  open(caller: ProjectCaller, id: string): Promise<OpenImage> {
    return this.#data.open(caller, id)
  }

  /**
   * Gives a queued image the data of what is stored already; no byte moves. image_location.ts has the forms of the URL.
   * What is expected is verified: LocationMismatch (400).
   */
  register(caller: ProjectCaller, id: string, location: RegisteredLocation): Promise<Image> {
    return this.edit(caller, id, () => ({ location }))
  }

  /** A new active image of a volume as it is now (os-volume_upload_image), in O(1). `force`: also of one that is in use. */
  async createFromVolume(
    caller: ProjectCaller,
    volumeId: string,
    image: NewImage,
    { force = false }: { force?: boolean } = {},
  ): Promise<Image> {
    mayWrite(caller)
    return this.#data.createFromVolume(caller, volumeId, { force }, (tx) => insertImage(tx, caller, image))
  }

  /** A new active image that shares the snapshot's resource. */
  async createFromSnapshot(caller: ProjectCaller, snapshotId: string, image: NewImage): Promise<Image> {
    mayWrite(caller)
    return this.#data.createFromSnapshot(caller, snapshotId, (tx) => insertImage(tx, caller, image))
  }

  async #changeTags(caller: ProjectCaller, id: string, change: (tags: string[]) => string[]): Promise<void> {
    await this.#catalog.transaction(async ({ db }) => {
      const row = await ownImageRow(db, caller, id)
      const { tags } = await told(db, row)
      const changed = change(tags)
      checkImageLimits({ tags: changed })
      await replaceTags(db, row.id, changed)
      await db.updateTable('images').set({ updated_at: Date.now() }).where('id', '=', row.id).execute()
    })
  }
}

async function told(db: Reader, row: ImageRow): Promise<Image> {
  const [image] = await toImages(db, [row])
  return image as Image
}

async function insertImage({ db }: Transaction, caller: ProjectCaller, image: NewImage): Promise<ImageRow> {
  await judge(db, caller, image)
  checkImageLimits(image)
  const id = (image.id ?? newImageId()) as ImageId
  if (!isUuid(id)) throw new InvalidArgument('the id of an image is a UUID in lower case')
  if (!takeId(db, id)) throw new ImageExists(id)
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
    created_at: now,
    updated_at: now,
  }
  await db.insertInto('images').values(row).execute()
  await insertValues(db, 'image_properties', row.id, image.properties ?? {})
  await replaceTags(db, row.id, image.tags ?? [])
  return row
}

async function changeRow(db: Reader, caller: ProjectCaller, row: ImageRow, change: ImageChange): Promise<ImageRow> {
  await judge(db, caller, change, row)
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
  await db.updateTable('images').set(next).where('id', '=', row.id).execute()
  if (change.properties) await replaceValues(db, 'image_properties', row.id, change.properties)
  if (change.tags) await replaceTags(db, row.id, change.tags)
  return next
}

/** The formats say what the data is: with the data they are fixed, as in Glance, also for admins. Throws ImageFormatFixed. */
function checkFormats(change: ImageChange, { id, status }: ImageRow): void {
  if (status === 'queued') return
  if (change.diskFormat !== undefined) throw new ImageFormatFixed('disk_format', id, status)
  if (change.containerFormat !== undefined) throw new ImageFormatFixed('container_format', id, status)
}

/** Who may set what; the door has judged the form. */
async function judge(db: Reader, caller: ProjectCaller, image: NewImage | ImageChange, now?: ImageRow): Promise<void> {
  const { owner, visibility } = image
  if (now !== undefined) checkFormats(image, now)
  if (visibility === 'public' && now?.visibility !== 'public' && !caller.isAdmin) throw new NotAllowed('admin')
  if (owner === undefined || owner === (now?.owner ?? caller.project.id)) return
  if (!caller.isAdmin) throw new NotAllowed('admin')
  const project = await db
    .selectFrom('projects')
    .select('id')
    .where('id', '=', owner as ProjectId)
    .executeTakeFirst()
  if (project === undefined) throw new ProjectNotFound(owner)
}

async function replaceTags(db: Reader, id: ImageId, tags: readonly string[]): Promise<void> {
  await db.deleteFrom('image_tags').where('image_id', '=', id).execute()
  const rows = [...new Set(tags)].map((tag) => ({ image_id: id, tag }))
  if (rows.length > 0) await db.insertInto('image_tags').values(rows).execute()
}

/**
 * Images: a ro resource with what Glance says about it. Its data is uploaded (image_data.ts), or comes from what is stored already
 * (conversions/image_sources.ts).
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { ImageRow } from '../../catalog/schema.js'
import { mayWrite } from '../policy/access.js'
import { ImageChanged, ImageNotReady, ImageProtected, ImageTagNotFound } from '../model/errors.js'
import type { Exports } from '../exports/exports.js'
import { changeImage, type ImageChange, insertImage, type NewImage, replaceTags } from './image_changes.js'
import { ImageData, type ImageUpload, type OpenImage } from './image_data.js'
import { checkImageLimits } from './image_limits.js'
import { type ImageQuery, pageOfImages } from './image_list.js'
import { imageRow, ownImageRow, toImage } from './image_rows.js'
import type { PageOf } from '../lists/pages.js'
import type { Image, ProjectCaller } from '../model/records.js'
import { collected, SlicePace } from '../lists/slices.js'
import type { Tree } from '../tree/tree.js'
import { removeImage } from '../views/removal.js'
import { settleSnapshot } from '../views/snapshot_view.js'

export type { ImageChange, NewImage } from './image_changes.js'
export type { OpenImage } from './image_data.js'
export type { Comparison, ImageQuery, ImageSortKey } from './image_list.js'

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

  /** Status `queued`. Throws ImageExists. */
  async create(caller: ProjectCaller, image: NewImage): Promise<Image> {
    mayWrite(caller)
    return this.#catalog.transaction(async (tx) => toImage(tx.db, await insertImage(tx, caller, image)))
  }

  /** Throws ImageNotFound, also for ids that are no UUIDs and for what the caller may not see. */
  async get(caller: ProjectCaller, id: string): Promise<Image> {
    const { db } = this.#catalog
    return toImage(db, await imageRow(db, caller, id))
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
    return this.#catalog.transaction(async (tx) =>
      toImage(tx.db, await changeImage(tx, caller, await ownImageRow(tx.db, caller, id), change)),
    )
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

  /** Only admins download a `deactivated` image, and nobody clones it. Throws ImageNotFound, NotAllowed, ImageNotReady. */
  async setActive(caller: ProjectCaller, id: string, active: boolean): Promise<void> {
    await this.#catalog.transaction(async (tx) => {
      const { db } = tx
      const row = await ownImageRow(db, caller, id)
      if (row.status !== 'active' && row.status !== 'deactivated') throw new ImageNotReady(row.id, row.status)
      const status = active ? 'active' : 'deactivated'
      const next: ImageRow = { ...row, status, updated_at: Date.now() }
      await db.updateTable('images').set(next).where('id', '=', row.id).execute()
      await settleSnapshot(tx, next, caller.user.id)
    })
  }

  /**
   * Throws ImageProtected, NotAllowed. Its clones live on. What goes along: views/removal.ts.
   */
  async delete(caller: ProjectCaller, id: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { resource_id: resource } = await ownImageRow(this.#catalog.db, caller, id)
      const remove = () =>
        this.#catalog.reservedTransaction(async (tx) => {
          const row = await ownImageRow(tx.db, caller, id)
          if (row.protected === 1) throw new ImageProtected(row.id)
          // The image got its data after the first look; the lock of that resource must be held as well (exports.ts).
          if (row.resource_id !== resource) return false
          await removeImage(tx, this.#tree, row)
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

  async #changeTags(caller: ProjectCaller, id: string, change: (tags: string[]) => string[]): Promise<void> {
    await this.#catalog.transaction(async ({ db }) => {
      const row = await ownImageRow(db, caller, id)
      const { tags } = await toImage(db, row)
      const changed = change(tags)
      checkImageLimits({ tags: changed })
      await replaceTags(db, row.id, changed)
      await db.updateTable('images').set({ updated_at: Date.now() }).where('id', '=', row.id).execute()
    })
  }
}

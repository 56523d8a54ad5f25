/** The data of images: how it is uploaded and read, and what an image becomes when it gets it. */

import type { Catalog } from '../../catalog/catalog.js'
import type { Transaction } from '../../catalog/types.js'
import type { ImageRow } from '../../catalog/schema.js'
import type { ResourceId } from '../../lib/ids.js'
import {
  ImageDeactivated,
  ImageFormatMissing,
  ImageHasData,
  ImageInUse,
  ImageNotFound,
  ImageNotReady,
  ImageRefused,
  UploadTruncated,
} from '../model/errors.js'
import { HeadCapture, inspect } from '../formats/inspection.js'
import { imageRow, ownImageRow, toImage } from './image_rows.js'
import { type OpenData, openCurrent, openData } from '../tree/open_data.js'
import type { ByteSource, Image, ProjectCaller } from '../model/records.js'
import { requireStill } from '../policy/rights.js'
import type { Tree } from '../tree/tree.js'
import { insertOwnObject } from '../views/own_objects.js'
import { rawFormats, settleSnapshot } from '../views/snapshot_view.js'

export interface ImageUpload {
  body: ByteSource
  /** Content-Length; UploadTruncated when the upload has another one. */
  lengthBytes?: number | undefined
  signal?: AbortSignal | undefined
}

export interface OpenImage extends OpenData {
  image: Image
}

/** The data of an image. */
export interface ImageContent {
  resourceId: ResourceId
  sizeBytes: number
  /** null: nobody has read the bytes. */
  md5: string | null
  sha256: string | null
  location: string | null
  /** `upload`: with an object of its own. */
  origin: 'upload' | 'registration'
  /** Of a disk in a format other than raw, where its header was read. */
  virtualSizeBytes?: number | null
}

export class ImageData {
  readonly #catalog: Catalog
  readonly #tree: Tree

  constructor(parts: { catalog: Catalog; tree: Tree }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
  }

  async upload(caller: ProjectCaller, id: string, { body, lengthBytes, signal }: ImageUpload): Promise<Image> {
    const image = await this.#catalog.transaction(async ({ db }) => {
      const row = await ownImageRow(db, caller, id)
      mustBeQueued(row)
      await db.updateTable('images').set({ status: 'saving' }).where('id', '=', row.id).execute()
      return row
    })
    const capture = new HeadCapture()
    let virtualSizeBytes: number | null = null
    const judge = (totalBytes: number) => {
      if (lengthBytes !== undefined && totalBytes > lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
    }
    const judgeEnd = (totalBytes: number) => {
      if (lengthBytes !== undefined && totalBytes !== lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
      virtualSizeBytes = inspectedSize(image, capture.head, totalBytes)
    }
    try {
      return await this.#tree.createFromIngest(
        capture.through(body),
        { sha256: true, judge, judgeEnd, signal },
        async (tx, resourceId, result) => {
          await requireStill(tx.db, caller)
          const row = await ownImageRow(tx.db, caller, id)
          // Deleted and made anew under the same id meanwhile, or settled by another hand.
          if (row.status !== 'saving') throw new ImageNotFound(id)
          const { sizeBytes, md5, sha256 } = result
          const content = {
            resourceId,
            sizeBytes,
            md5,
            sha256,
            location: null,
            origin: 'upload',
            virtualSizeBytes,
          } as const
          return activate(tx, caller, row, content)
        },
      )
    } catch (error) {
      await this.#catalog.reservedTransaction(({ db }) =>
        db
          .updateTable('images')
          .set({ status: 'queued' })
          .where('id', '=', image.id)
          .where('status', '=', 'saving')
          .execute(),
      )
      throw error
    }
  }

  async open(caller: ProjectCaller, id: string): Promise<OpenImage> {
    return openCurrent(`the image ${id}`, async () => {
      const row = await imageRow(this.#catalog.db, caller, id)
      if (row.status === 'deactivated' && !caller.isAdmin) throw new ImageDeactivated(row.id)
      const image = await toImage(this.#catalog.db, row)
      const { resourceId, sizeBytes } = image
      if (resourceId === null || sizeBytes === null) throw new ImageNotReady(image.id, image.status)
      return { image, ...(await openData(this.#tree, { resourceId, sizeBytes })) }
    })
  }
}

/** What the header says, in containers whose data is the disk. Throws ImageRefused. */
function inspectedSize(row: ImageRow, head: Buffer, totalBytes: number): number | null {
  if (row.container_format !== 'bare' || row.disk_format === null) return null
  const { refusal, virtualSizeBytes } = inspect(row.disk_format, head, totalBytes)
  if (refusal !== undefined) throw new ImageRefused(refusal)
  return virtualSizeBytes ?? null
}

/** Gives a queued or saving image its data. In a transaction. */
export async function activate(
  tx: Transaction,
  caller: ProjectCaller,
  row: ImageRow,
  data: ImageContent,
): Promise<Image> {
  const { resourceId, sizeBytes, md5, sha256, location, origin, virtualSizeBytes = null } = data
  const own = { projectId: row.owner, container: 'images', name: row.name, id: row.id } as const
  const next: ImageRow = {
    ...row,
    status: 'active',
    resource_id: resourceId,
    size_bytes: sizeBytes,
    md5,
    sha256,
    location,
    origin,
    object_id: origin === 'upload' ? await insertOwnObject(tx, { ...own, resourceId, sizeBytes, md5, sha256 }) : null,
    virtual_size_bytes: rawFormats.includes(row.disk_format) ? sizeBytes : virtualSizeBytes,
    updated_at: Date.now(),
  }
  await tx.db.updateTable('images').set(next).where('id', '=', row.id).execute()
  await settleSnapshot(tx, next, caller.user.id)
  return toImage(tx.db, next)
}

/** Throws ImageInUse, ImageHasData, ImageFormatMissing. */
export function mustBeQueued(row: ImageRow): void {
  if (row.status === 'saving') throw new ImageInUse(row.id)
  if (row.status !== 'queued') throw new ImageHasData(row.id)
  if (row.disk_format === null || row.container_format === null) throw new ImageFormatMissing()
}

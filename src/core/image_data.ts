/** The data of images: uploaded, or taken over from an object, a snapshot or a volume without moving a byte. */

import type { Catalog, Reader, Transaction } from '../catalog/catalog.js'
import { insertValues, valuesOf } from '../catalog/named_values.js'
import type { ImageRow } from '../catalog/schema.js'
import type { ResourceId } from '../lib/ids.js'
import {
  ImageFormatMissing,
  ImageHasData,
  ImageInUse,
  ImageNotFound,
  ImageNotReady,
  InvalidArgument,
  LocationMismatch,
  ResourceNotFound,
  UploadTruncated,
} from './errors.js'
import { type ImageLocation, objectLocation, parseLocation } from './image_location.js'
import { imageRow, ownImageRow, toImages } from './image_rows.js'
import { readObject } from './objects.js'
import { type OpenData, openData } from './open_data.js'
import { type ByteSource, type Image, type ProjectCaller, volumeStatuses } from './records.js'
import { snapshotRow } from './snapshot_rows.js'
import type { Tree } from './tree.js'
import { statusMustBe, volumeRow } from './volume_rows.js'
import { inheritedProperties } from './volume_source.js'

export interface ImageUpload {
  body: ByteSource
  /** Content-Length; UploadTruncated when the upload has another one. */
  lengthBytes?: number | undefined
  signal?: AbortSignal | undefined
}

export interface OpenImage extends OpenData {
  image: Image
}

export interface RegisteredLocation {
  url: string
  /** What the client expects to be there. */
  sizeBytes?: number | undefined
  md5?: string | undefined
  sha256?: string | undefined
}

/** What an image becomes by getting its data. */
interface Data {
  resourceId: ResourceId
  sizeBytes: number
  /** null: nobody has read the bytes. */
  md5: string | null
  sha256: string | null
  location: string | null
}

const snapshotable = volumeStatuses.filter((status) => status !== 'error' && status !== 'deleting')

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
    const judge = (totalBytes: number) => {
      if (lengthBytes !== undefined && totalBytes > lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
    }
    const judgeEnd = (totalBytes: number) => {
      if (lengthBytes !== undefined && totalBytes !== lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
    }
    try {
      return await this.#tree.createFromIngest(
        body,
        { sha256: true, judge, judgeEnd, signal },
        async ({ db }, resourceId, result) => {
          const row = await ownImageRow(db, caller, id)
          // Deleted and made anew under the same id meanwhile, or settled by another hand.
          if (row.status !== 'saving') throw new ImageNotFound(id)
          const { sizeBytes, md5, sha256 } = result
          return activate(db, row, { resourceId, sizeBytes, md5, sha256, location: null })
        },
      )
    } catch (error) {
      await this.#catalog.transaction(({ db }) =>
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
    for (;;) {
      const [image] = (await toImages(this.#catalog.db, [await imageRow(this.#catalog.db, caller, id)])) as [Image]
      const { resourceId, sizeBytes } = image
      if (resourceId === null || sizeBytes === null) throw new ImageNotReady(image.id, image.status)
      try {
        return { image, ...openData(this.#tree, { resourceId, sizeBytes }) }
      } catch (error) {
        // Deleted just now: the next look says so.
        if (!(error instanceof ResourceNotFound)) throw error
      }
    }
  }

  async register(caller: ProjectCaller, id: string, expected: RegisteredLocation): Promise<Image> {
    const location = parseLocation(expected.url)
    const { db } = this.#catalog
    // Refused before anything is made; judged again in the transaction.
    mustBeQueued(await ownImageRow(db, caller, id))
    const give = async (tx: Transaction, data: Data): Promise<Image> => {
      const row = await ownImageRow(tx.db, caller, id)
      mustBeQueued(row)
      verify(expected, data)
      return activate(tx.db, row, data)
    }
    if (location.kind !== 'volume') {
      return this.#catalog.transaction(async (tx) => give(tx, await storedData(tx, caller, location)))
    }
    const volume = await volumeRow(db, caller, location.id)
    return this.#tree.snapshot(volume.resource_id, async (tx, resourceId) => {
      statusMustBe(await volumeRow(tx.db, caller, volume.id), snapshotable)
      const sizeBytes = await this.#tree.sizeOf(tx.db, resourceId)
      return give(tx, { resourceId, sizeBytes, md5: null, sha256: null, location: expected.url })
    })
  }

  async createFromVolume(
    caller: ProjectCaller,
    volumeId: string,
    { force }: { force: boolean },
    insert: (tx: Transaction) => Promise<ImageRow>,
  ): Promise<Image> {
    const { resource_id: source } = await volumeRow(this.#catalog.db, caller, volumeId)
    return this.#tree.snapshot(source, async (tx, resourceId) => {
      const volume = await volumeRow(tx.db, caller, volumeId)
      statusMustBe(volume, force ? snapshotable : ['available'])
      const row = await withRawFormat(tx.db, await insert(tx))
      await inheritProperties(tx.db, row, (await valuesOf(tx.db, 'volume_image_metadata', [volume.id])).get(volume.id))
      const sizeBytes = await this.#tree.sizeOf(tx.db, resourceId)
      const location = `cinder://volumes/${volume.id}`
      return activate(tx.db, row, { resourceId, sizeBytes, md5: null, sha256: null, location })
    })
  }

  async createFromSnapshot(
    caller: ProjectCaller,
    snapshotId: string,
    insert: (tx: Transaction) => Promise<ImageRow>,
  ): Promise<Image> {
    return this.#catalog.transaction(async (tx) => {
      const data = await storedData(tx, caller, { kind: 'snapshot', id: snapshotId })
      const row = await withRawFormat(tx.db, await insert(tx))
      const snapshot = await snapshotRow(tx.db, caller, snapshotId)
      const inherited = await valuesOf(tx.db, 'snapshot_image_metadata', [snapshot.id])
      await inheritProperties(tx.db, row, inherited.get(snapshot.id))
      return activate(tx.db, row, data)
    })
  }
}

/** Of an object or a snapshot: the image shares its resource. */
async function storedData(
  { db }: Transaction,
  caller: ProjectCaller,
  location: Exclude<ImageLocation, { kind: 'volume' }>,
): Promise<Data> {
  if (location.kind === 'object') {
    const { resourceId, sizeBytes, md5, sha256 } = readObject(db, caller, location.object)
    return { resourceId, sizeBytes, md5, sha256, location: objectLocation(location.object) }
  }
  const snapshot = await snapshotRow(db, caller, location.id)
  const resource = await db
    .selectFrom('resources')
    .select('size_bytes')
    .where('id', '=', snapshot.resource_id)
    .executeTakeFirstOrThrow()
  return {
    resourceId: snapshot.resource_id,
    sizeBytes: resource.size_bytes,
    md5: null,
    sha256: null,
    location: `cinder://snapshots/${snapshot.id}`,
  }
}

async function activate(db: Reader, row: ImageRow, data: Data): Promise<Image> {
  const next: ImageRow = {
    ...row,
    status: 'active',
    resource_id: data.resourceId,
    size_bytes: data.sizeBytes,
    md5: data.md5,
    sha256: data.sha256,
    location: data.location,
    updated_at: Date.now(),
  }
  await db.updateTable('images').set(next).where('id', '=', row.id).execute()
  const [image] = await toImages(db, [next])
  return image as Image
}

function mustBeQueued(row: ImageRow): void {
  if (row.status === 'saving') throw new ImageInUse(row.id)
  if (row.status !== 'queued') throw new ImageHasData(row.id)
  if (row.disk_format === null || row.container_format === null) throw new ImageFormatMissing()
}

/** The bytes of a volume are a raw disk, whatever the request says; another format would have to be made. */
async function withRawFormat(db: Reader, row: ImageRow): Promise<ImageRow> {
  if (row.disk_format !== null && row.disk_format !== 'raw') {
    throw new InvalidArgument(`the image of a volume has the disk format raw, not ${row.disk_format}`)
  }
  const next = { ...row, disk_format: 'raw', container_format: row.container_format ?? 'bare' }
  await db.updateTable('images').set(next).where('id', '=', row.id).execute()
  return next
}

async function inheritProperties(db: Reader, row: ImageRow, from: Record<string, string> | undefined): Promise<void> {
  const own = (await valuesOf(db, 'image_properties', [row.id])).get(row.id) ?? {}
  const missing = Object.entries(inheritedProperties(from ?? {})).filter(([name]) => !Object.hasOwn(own, name))
  await insertValues(db, 'image_properties', row.id, Object.fromEntries(missing))
}

function verify(expected: RegisteredLocation, data: Data): void {
  const pairs = [
    ['size', data.sizeBytes, expected.sizeBytes],
    ['MD5', data.md5, expected.md5?.toLowerCase()],
    ['SHA-256', data.sha256, expected.sha256?.toLowerCase()],
  ] as const
  for (const [what, found, wanted] of pairs) {
    if (wanted !== undefined && wanted !== found) throw new LocationMismatch(what, found ?? 'not known', wanted)
  }
}

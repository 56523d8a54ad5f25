/** The data of images: uploaded, or taken over from an object, a snapshot or a volume without moving a byte. */

import type { Catalog, Reader, Transaction } from '../../catalog/catalog.js'
import { insertValues, valuesOf } from '../../catalog/named_values.js'
import type { ImageRow } from '../../catalog/schema.js'
import type { ResourceId } from '../../lib/ids.js'
import {
  ImageDeactivated,
  ImageFormatMissing,
  ImageHasData,
  ImageInUse,
  ImageNotFound,
  ImageNotReady,
  InvalidArgument,
  LocationMismatch,
  UploadTruncated,
} from '../model/errors.js'
import { objectLocation, parseLocation } from '../conversions/image_location.js'
import { imageRow, ownImageRow, toImages } from './image_rows.js'
import { type ObjectRef, readObject } from '../objects/objects.js'
import { type OpenData, openCurrent, openData } from '../tree/open_data.js'
import { type ByteSource, type Image, type ProjectCaller, volumeStatuses } from '../model/records.js'
import { requireStill } from '../policy/rights.js'
import { snapshotRow } from '../volumes/snapshot_rows.js'
import type { Tree } from '../tree/tree.js'
import { onResourceOf } from '../model/vanished.js'
import { statusMustBe, volumeRow } from '../volumes/volume_rows.js'
import { inheritedProperties } from '../conversions/volume_sources.js'

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
          requireStill(db, caller)
          const row = await ownImageRow(db, caller, id)
          // Deleted and made anew under the same id meanwhile, or settled by another hand.
          if (row.status !== 'saving') throw new ImageNotFound(id)
          const { sizeBytes, md5, sha256 } = result
          return activate(db, row, { resourceId, sizeBytes, md5, sha256, location: null })
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
      const [image] = (await toImages(this.#catalog.db, [row])) as [Image]
      const { resourceId, sizeBytes } = image
      if (resourceId === null || sizeBytes === null) throw new ImageNotReady(image.id, image.status)
      return { image, ...openData(this.#tree, { resourceId, sizeBytes }) }
    })
  }

  /**
   * Runs `work` in one transaction, in which `data` returns the data of this location; no byte is copied. A volume is
   * snapshotted for it; a snapshot that `work` does not use is released in the same transaction.
   * Throws LocationNotServed; `data` throws if the location does not exist or belongs to another project.
   */
  async withData<T>(
    caller: ProjectCaller,
    url: string | undefined,
    work: (tx: Transaction, data: () => Promise<Data>) => Promise<T>,
  ): Promise<T> {
    if (url === undefined) return this.#catalog.transaction((tx) => work(tx, noData))
    const location = parseLocation(url)
    if (location.kind === 'object') {
      return this.#catalog.transaction((tx) => work(tx, async () => objectData(tx.db, caller, location.object)))
    }
    if (location.kind === 'snapshot') {
      return this.#catalog.transaction((tx) => work(tx, () => snapshotData(tx.db, caller, location.id)))
    }
    return onResourceOf(
      () => volumeRow(this.#catalog.db, caller, location.id),
      (volume) =>
        this.#tree.snapshot(volume.resource_id, async (tx, resourceId) => {
          const result = await work(tx, async () => {
            statusMustBe(await volumeRow(tx.db, caller, volume.id), snapshotable)
            const sizeBytes = await this.#tree.sizeOf(tx.db, resourceId)
            return { resourceId, sizeBytes, md5: null, sha256: null, location: url }
          })
          await this.#tree.release(tx, resourceId)
          return result
        }),
    )
  }

  async createFromVolume(
    caller: ProjectCaller,
    volumeId: string,
    { force }: { force: boolean },
    insert: (tx: Transaction) => Promise<ImageRow>,
  ): Promise<Image> {
    const take = async (tx: Transaction, resourceId: ResourceId): Promise<Image> => {
      const volume = await volumeRow(tx.db, caller, volumeId)
      statusMustBe(volume, force ? snapshotable : ['available'])
      const row = await withRawFormat(tx.db, await insert(tx))
      await inheritProperties(tx.db, row, (await valuesOf(tx.db, 'volume_image_metadata', [volume.id])).get(volume.id))
      const sizeBytes = await this.#tree.sizeOf(tx.db, resourceId)
      const location = `cinder://volumes/${volume.id}`
      return activate(tx.db, row, { resourceId, sizeBytes, md5: null, sha256: null, location })
    }
    return onResourceOf(
      () => volumeRow(this.#catalog.db, caller, volumeId),
      ({ resource_id: source }) => this.#tree.snapshot(source, take),
    )
  }

  async createFromSnapshot(
    caller: ProjectCaller,
    snapshotId: string,
    insert: (tx: Transaction) => Promise<ImageRow>,
  ): Promise<Image> {
    return this.#catalog.transaction(async (tx) => {
      const data = await snapshotData(tx.db, caller, snapshotId)
      const row = await withRawFormat(tx.db, await insert(tx))
      const snapshot = await snapshotRow(tx.db, caller, snapshotId)
      const inherited = await valuesOf(tx.db, 'snapshot_image_metadata', [snapshot.id])
      await inheritProperties(tx.db, row, inherited.get(snapshot.id))
      return activate(tx.db, row, data)
    })
  }
}

/** Makes a queued image active with the data of its location. In a transaction. Throws LocationMismatch. */
export async function giveData(
  db: Reader,
  row: ImageRow,
  { location, data }: { location: RegisteredLocation; data: () => Promise<Data> },
): Promise<Image> {
  mustBeQueued(row)
  const found = await data()
  verify(location, found)
  return activate(db, row, found)
}

async function noData(): Promise<never> {
  throw new Error('no location was named')
}

/** The image shares the object's resource. */
function objectData(db: Reader, caller: ProjectCaller, object: ObjectRef): Data {
  const { resourceId, sizeBytes, md5, sha256 } = readObject(db, caller, object)
  return { resourceId, sizeBytes, md5, sha256, location: objectLocation(object) }
}

/** The image shares the snapshot's resource. */
async function snapshotData(db: Reader, caller: ProjectCaller, id: string): Promise<Data> {
  const snapshot = await snapshotRow(db, caller, id)
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

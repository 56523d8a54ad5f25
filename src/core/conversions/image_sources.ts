/**
 * Images of what is stored already: an object, a snapshot or a volume as it is now. The image shares the resource; no byte moves.
 * image_location.ts has the forms of the URLs that name them.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { insertValues, valuesOf } from '../../catalog/named_values.js'
import type { ImageRow } from '../../catalog/schema.js'
import type { ResourceId } from '../../lib/ids.js'
import { changeImage, type ImageChange, insertImage, type NewImage } from '../images/image_changes.js'
import { activate, type ImageContent, mustBeQueued } from '../images/image_data.js'
import { ownImageRow, toImage } from '../images/image_rows.js'
import { ImageChanged, InvalidArgument, LocationMismatch, NotOneResource } from '../model/errors.js'
import { type Image, type ProjectCaller, volumeStatuses } from '../model/records.js'
import { onResourceOf } from '../model/vanished.js'
import { type ObjectRef, readObject } from '../objects/objects.js'
import { mayWrite } from '../policy/access.js'
import type { Tree } from '../tree/tree.js'
import { snapshotRow } from '../volumes/snapshot_rows.js'
import { statusMustBe, volumeRow } from '../volumes/volume_rows.js'
import { objectLocation, parseLocation } from './image_location.js'
import { inheritedProperties } from '../views/inherited_properties.js'

export interface RegisteredLocation {
  url: string
  /** What the client expects to be there. */
  sizeBytes?: number | undefined
  md5?: string | undefined
  sha256?: string | undefined
}

/** What a request makes of an image: `location` gives it its data, in the same transaction as the change. */
interface ImageEdit {
  change?: ImageChange | undefined
  location?: RegisteredLocation | undefined
}

const snapshotable = volumeStatuses.filter((status) => status !== 'error' && status !== 'deleting')

export class ImageSources {
  readonly #catalog: Catalog
  readonly #tree: Tree

  constructor(parts: { catalog: Catalog; tree: Tree }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
  }

  /**
   * Makes an active image with the data of the location, or none at all; without a location a queued one.
   * Throws ImageExists, LocationMismatch, LocationNotServed, and what the location's own kind throws.
   */
  async create(caller: ProjectCaller, image: NewImage, location?: RegisteredLocation): Promise<Image> {
    mayWrite(caller)
    return this.#withContent(caller, location?.url, async (tx, content) => {
      const row = await insertImage(tx, caller, image)
      return location === undefined ? toImage(tx.db, row) : giveContent(tx, caller, row, { location, content })
    })
  }

  /**
   * Changes an image as `edit` says, including the data of a location, in one transaction. `edit` is called more than once;
   * an error that it throws refuses the change.
   */
  async edit(caller: ProjectCaller, id: string, edit: (image: Image) => ImageEdit): Promise<Image> {
    const { db } = this.#catalog
    // The location must be known before the transaction, because a volume is snapshotted for it.
    const { location: expected } = edit(await toImage(db, await ownImageRow(db, caller, id)))
    return this.#withContent(caller, expected?.url, async (tx, content) => {
      const row = await ownImageRow(tx.db, caller, id)
      const { change = {}, location } = edit(await toImage(tx.db, row))
      const next = Object.keys(change).length === 0 ? row : await changeImage(tx, caller, row, change)
      if (location === undefined) return toImage(tx.db, next)
      if (location.url !== expected?.url) throw new ImageChanged(row.id)
      return giveContent(tx, caller, next, { location, content })
    })
  }

  /** Gives a queued image the data of the location. What the client expects is verified: LocationMismatch (400). */
  register(caller: ProjectCaller, id: string, location: RegisteredLocation): Promise<Image> {
    return this.edit(caller, id, () => ({ location }))
  }

  /** Makes an active image of a volume as it is now (os-volume_upload_image), in O(1). `force`: also of one that is in use. */
  async createFromVolume(
    caller: ProjectCaller,
    volumeId: string,
    image: NewImage,
    { force = false }: { force?: boolean } = {},
  ): Promise<Image> {
    mayWrite(caller)
    const take = async (tx: Transaction, resourceId: ResourceId): Promise<Image> => {
      const volume = await volumeRow(tx.db, caller, volumeId)
      statusMustBe(volume, force ? snapshotable : ['available'])
      const row = await withRawFormat(tx.db, await insertImage(tx, caller, image))
      await inheritProperties(tx.db, row, (await valuesOf(tx.db, 'volume_image_metadata', [volume.id])).get(volume.id))
      const sizeBytes = await this.#tree.sizeOf(tx.db, resourceId)
      const location = `cinder://volumes/${volume.id}`
      const content = { resourceId, sizeBytes, md5: null, sha256: null, location, origin: 'upload' } as const
      return activate(tx, caller, row, content)
    }
    return onResourceOf(
      () => volumeRow(this.#catalog.db, caller, volumeId),
      ({ resource_id: source }) => this.#tree.snapshot(source, take),
    )
  }

  /** Makes an active image that shares the snapshot's resource. */
  async createFromSnapshot(caller: ProjectCaller, snapshotId: string, image: NewImage): Promise<Image> {
    mayWrite(caller)
    return this.#catalog.transaction(async (tx) => {
      const data = await snapshotData(tx.db, caller, snapshotId)
      const row = await withRawFormat(tx.db, await insertImage(tx, caller, image))
      const snapshot = await snapshotRow(tx.db, caller, snapshotId)
      const inherited = await valuesOf(tx.db, 'snapshot_image_metadata', [snapshot.id])
      await inheritProperties(tx.db, row, inherited.get(snapshot.id))
      return activate(tx, caller, row, data)
    })
  }

  /**
   * Runs `work` in one transaction, in which `content` returns the data of this location; no byte is copied. A volume is
   * snapshotted for it; a snapshot that `work` does not use is released in the same transaction.
   * Throws LocationNotServed; `content` throws if the location does not exist or belongs to another project.
   */
  async #withContent<T>(
    caller: ProjectCaller,
    url: string | undefined,
    work: (tx: Transaction, content: () => Promise<ImageContent>) => Promise<T>,
  ): Promise<T> {
    if (url === undefined) return this.#catalog.transaction((tx) => work(tx, noContent))
    const location = parseLocation(url)
    if (location.kind === 'object') {
      return this.#catalog.transaction((tx) => work(tx, () => objectData(tx.db, caller, location.object)))
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
            return { resourceId, sizeBytes, md5: null, sha256: null, location: url, origin: 'upload' }
          })
          await this.#tree.release(tx, resourceId)
          return result
        }),
    )
  }
}

/** Makes a queued image active with the data of its location. Throws LocationMismatch. */
async function giveContent(
  tx: Transaction,
  caller: ProjectCaller,
  row: ImageRow,
  { location, content }: { location: RegisteredLocation; content: () => Promise<ImageContent> },
): Promise<Image> {
  mustBeQueued(row)
  const found = await content()
  verify(location, found)
  return activate(tx, caller, row, found)
}

async function noContent(): Promise<never> {
  throw new Error('no location was named')
}

/** The image shares the object's resource. */
async function objectData(db: Reader, caller: ProjectCaller, object: ObjectRef): Promise<ImageContent> {
  const { resourceId, sizeBytes, md5, sha256, indirection } = await readObject(db, caller, object)
  // Its own resource has none of the bytes that it reads as.
  if (indirection !== null) throw new NotOneResource(object.object)
  return { resourceId, sizeBytes, md5, sha256, location: objectLocation(object), origin: 'registration' }
}

/** The image shares the snapshot's resource. */
async function snapshotData(db: Reader, caller: ProjectCaller, id: string): Promise<ImageContent> {
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
    origin: 'registration',
  }
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

function verify(expected: RegisteredLocation, content: ImageContent): void {
  const pairs = [
    ['size', content.sizeBytes, expected.sizeBytes],
    ['MD5', content.md5, expected.md5?.toLowerCase()],
    ['SHA-256', content.sha256, expected.sha256?.toLowerCase()],
  ] as const
  for (const [what, found, wanted] of pairs) {
    if (wanted !== undefined && wanted !== found) throw new LocationMismatch(what, found ?? 'not known', wanted)
  }
}

/** Volumes of what is stored already: an image, a snapshot or another volume. The volume is a clone; no byte moves. */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import { valuesOf } from '../../catalog/named_values.js'
import { gibOf } from '../../lib/units.js'
import { convertibleFormats, headBytes, inspect } from '../formats/inspection.js'
import { ImageFormatNotRaw, ImageNotReady, ImageRefused, VolumeStateConflict } from '../model/errors.js'
import { imageRow, toImage } from '../images/image_rows.js'
import type { Image, Metadata, ProjectCaller, Volume } from '../model/records.js'
import { snapshotRow } from '../volumes/snapshot_rows.js'
import { volumeRow } from '../volumes/volume_rows.js'
import type { Tree } from '../tree/tree.js'
import { rawFormats } from '../views/snapshot_view.js'
import type { NewVolume, VolumeOrigin, Volumes } from '../volumes/volumes.js'
import { type ImageTwins, twinOf } from './image_twins.js'

export type VolumeSource =
  | { kind: 'blank' }
  /** By ID; the API resolves names. */
  | { kind: 'image'; id: string }
  | { kind: 'snapshot'; id: string }
  | { kind: 'volume'; id: string }

export class VolumeSources {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #volumes: Volumes
  readonly #twins: ImageTwins

  constructor(parts: { catalog: Catalog; tree: Tree; volumes: Volumes; twins: ImageTwins }) {
    this.#catalog = parts.catalog
    this.#tree = parts.tree
    this.#volumes = parts.volumes
    this.#twins = parts.twins
  }

  /**
   * Complete when it returns: status `available`. O(1), from whatever source; except for the first volumes of an image whose format must
   * be converted (image_twins.ts), which are `creating` until that has ended.
   * Throws ImageNotFound, SnapshotNotFound, VolumeNotFound, ImageNotReady, ImageFormatNotRaw, ImageRefused, SizeTooSmall.
   */
  async create(caller: ProjectCaller, { source, ...volume }: NewVolume & { source: VolumeSource }): Promise<Volume> {
    if (source.kind === 'blank') return this.#volumes.createBlank(caller, volume)
    if (source.kind === 'image') {
      const image = await this.#unconverted(caller, source.id)
      if (image !== undefined) return this.#createPending(caller, image, volume)
    }
    return this.#volumes.createFrom(caller, volume, (db) => readSource(db, caller, source))
  }

  /** The image, if it must be converted first. Its size is known then. Throws ImageRefused. */
  async #unconverted(caller: ProjectCaller, id: string): Promise<Image | undefined> {
    const { db } = this.#catalog
    const image = await toImage(db, await imageRow(db, caller, id))
    const { resourceId, sizeBytes, status, diskFormat, containerFormat, virtualSizeBytes } = image
    if (!convertibleFormats.includes(diskFormat) || containerFormat !== 'bare') return undefined
    if (resourceId === null || sizeBytes === null || status !== 'active') throw new ImageNotReady(image.id, status)
    if ((await twinOf(db, image.id)) !== undefined) return undefined
    if (virtualSizeBytes !== null) return image
    // Registered from an object: nobody has looked at its bytes yet.
    const head = await this.#tree.readAll(resourceId, Math.min(sizeBytes, headBytes))
    const { refusal, virtualSizeBytes: found } = inspect(String(diskFormat), head, sizeBytes)
    if (refusal !== undefined || found === undefined) throw new ImageRefused(refusal ?? 'its size is not known')
    const change = { virtual_size_bytes: found }
    await this.#catalog.transaction(({ db }) =>
      db.updateTable('images').set(change).where('id', '=', image.id).where('resource_id', '=', resourceId).execute(),
    )
    return { ...image, virtualSizeBytes: found }
  }

  #createPending(caller: ProjectCaller, { id }: Image, volume: NewVolume): Promise<Volume> {
    return this.#volumes.createPending(
      caller,
      volume,
      async (db) => {
        const image = await toImage(db, await imageRow(db, caller, id))
        if (image.status !== 'active') throw new ImageNotReady(image.id, image.status)
        return originOf(image)
      },
      async (tx) => this.#twins.request(tx, await imageRow(tx.db, caller, id)),
    )
  }
}

/** Throws if the source is missing, or if its state or format does not allow a clone. */
async function readSource(
  db: Reader,
  caller: ProjectCaller,
  source: Exclude<VolumeSource, { kind: 'blank' }>,
): Promise<VolumeOrigin> {
  switch (source.kind) {
    case 'image':
      return fromImage(db, caller, source.id)
    case 'snapshot': {
      const row = await snapshotRow(db, caller, source.id)
      const imageMetadata = (await valuesOf(db, 'snapshot_image_metadata', [row.id])).get(row.id) ?? {}
      return {
        resourceId: row.resource_id,
        leastGib: row.size_gib,
        bootable: row.bootable === 1,
        imageMetadata,
        snapshotId: row.id,
      }
    }
    case 'volume': {
      const row = await volumeRow(db, caller, source.id)
      if (row.status === 'error' || row.status === 'deleting' || row.status === 'creating') {
        throw new VolumeStateConflict(row.id, row.status, 'available or in-use')
      }
      const imageMetadata = (await valuesOf(db, 'volume_image_metadata', [row.id])).get(row.id) ?? {}
      return {
        resourceId: row.resource_id,
        leastGib: row.size_gib,
        bootable: row.bootable === 1,
        imageMetadata,
        sourceVolumeId: row.id,
      }
    }
  }
}

async function fromImage(db: Reader, caller: ProjectCaller, id: string): Promise<VolumeOrigin> {
  const image = await toImage(db, await imageRow(db, caller, id))
  const { resourceId, sizeBytes, status, diskFormat } = image
  if (resourceId === null || sizeBytes === null || status !== 'active') throw new ImageNotReady(image.id, status)
  if (rawFormats.includes(diskFormat)) return { resourceId, ...originOf(image) }
  const twin = await twinOf(db, image.id)
  if (twin === undefined) throw new ImageFormatNotRaw(image.id, diskFormat ?? 'none')
  return { resourceId: twin.resource_id, ...originOf(image) }
}

function originOf(image: Image): Omit<VolumeOrigin, 'resourceId'> {
  const diskBytes = image.virtualSizeBytes ?? image.sizeBytes ?? 0
  return {
    leastGib: Math.max(gibOf(diskBytes), image.minDiskGib, 1),
    bootable: true,
    imageMetadata: imageMetadataOf(image),
    imageId: image.id,
  }
}

/** What Cinder keeps of an image with a volume (cinder/volume/flows/manager/create_volume.py, glance metadata). */
function imageMetadataOf(image: Image): Metadata {
  const fields: Record<string, string | number | null> = {
    image_id: image.id,
    image_name: image.name,
    checksum: image.md5,
    container_format: image.containerFormat,
    disk_format: image.diskFormat,
    min_disk: image.minDiskGib,
    min_ram: image.minRamMib,
    size: image.sizeBytes,
  }
  const texts = Object.entries(fields).flatMap(([name, value]) =>
    value === null ? [] : [[name, String(value)] as const],
  )
  return { ...image.properties, ...Object.fromEntries(texts) }
}

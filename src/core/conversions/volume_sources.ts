/** Volumes of what is stored already: an image, a snapshot or another volume. The volume is a clone; no byte moves. */

import type { Reader } from '../../catalog/types.js'
import { valuesOf } from '../../catalog/named_values.js'
import { gibOf } from '../../lib/units.js'
import { ImageFormatNotRaw, ImageNotReady, VolumeStateConflict } from '../model/errors.js'
import { imageRow, toImage } from '../images/image_rows.js'
import type { Image, Metadata, ProjectCaller, Volume } from '../model/records.js'
import { snapshotRow } from '../volumes/snapshot_rows.js'
import { volumeRow } from '../volumes/volume_rows.js'
import { rawFormats } from '../views/snapshot_view.js'
import type { NewVolume, VolumeOrigin, Volumes } from '../volumes/volumes.js'

export type VolumeSource =
  | { kind: 'blank' }
  /** By ID; the API resolves names. */
  | { kind: 'image'; id: string }
  | { kind: 'snapshot'; id: string }
  | { kind: 'volume'; id: string }

export class VolumeSources {
  readonly #volumes: Volumes

  constructor(volumes: Volumes) {
    this.#volumes = volumes
  }

  /**
   * Complete when it returns: status `available`. O(1), from whatever source.
   * Throws ImageNotFound, SnapshotNotFound, VolumeNotFound, ImageNotReady, ImageFormatNotRaw, SizeTooSmall.
   */
  create(caller: ProjectCaller, { source, ...volume }: NewVolume & { source: VolumeSource }): Promise<Volume> {
    if (source.kind === 'blank') return this.#volumes.createBlank(caller, volume)
    return this.#volumes.createFrom(caller, volume, (db) => readSource(db, caller, source))
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
      if (row.status === 'error' || row.status === 'deleting') {
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
  if (!rawFormats.includes(diskFormat)) throw new ImageFormatNotRaw(image.id, diskFormat ?? 'none')
  return {
    resourceId,
    leastGib: Math.max(gibOf(sizeBytes), image.minDiskGib, 1),
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

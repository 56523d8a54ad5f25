/** An image as the images API shows it. */

import type { Image } from '../../../../core/model/records.js'

/** There is one store, and this is its name. */
export const storeId = 'atoll'

/** Seconds, as Glance writes times: `2026-11-23T22:30:00Z`. */
export function glanceTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** The location's URL is for its owner and for administrators. */
export function imageView(image: Image, showsLocation: boolean): Record<string, unknown> {
  const path = `/v2/images/${image.id}`
  return {
    // Custom properties first: no name of theirs can hide a member below.
    ...image.properties,
    id: image.id,
    name: image.name,
    status: image.status,
    visibility: image.visibility,
    protected: image.protected,
    os_hidden: image.hidden,
    owner: image.owner,
    disk_format: image.diskFormat,
    container_format: image.containerFormat,
    min_disk: image.minDiskGib,
    min_ram: image.minRamMib,
    size: image.sizeBytes,
    virtual_size: image.virtualSizeBytes,
    checksum: image.md5,
    os_hash_algo: image.sha256 === null ? null : 'sha256',
    os_hash_value: image.sha256,
    tags: image.tags,
    locations: image.location === null || !showsLocation ? [] : [{ url: image.location, metadata: {} }],
    ...(image.resourceId === null ? {} : { stores: storeId }),
    created_at: glanceTime(image.createdAt),
    updated_at: glanceTime(image.updatedAt),
    self: path,
    file: `${path}/file`,
    schema: '/v2/schemas/image',
  }
}

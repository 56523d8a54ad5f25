/**
 * What can hold a resource: a row of one of these tables, which names it in `resource_id`. This is the only list of them. A resource
 * that no row names is released (tree.ts), and check reports it if it was not.
 *
 * A layer is held by resources and by the layers above it, and without either by an upload under way: sweep.ts and reaper.ts.
 */

import { type RawBuilder, sql } from 'kysely'

interface Owner {
  readonly kind: string
  readonly table: string
  /** The size of the resource, as this row knows it. */
  readonly sizeBytes: RawBuilder<number>
  /** Whether that is wrong: `t.bytes` is the size as the row knows it, `r` the resource. */
  readonly sizeDiffers: RawBuilder<boolean>
  /** Operators reach it over NBD by its ID. */
  readonly exported: boolean
}

const sizeBytes = sql<number>`size_bytes`
const sizeOfGib = sql<number>`size_gib * ${sql.lit(1024 ** 3)}`
const sizeDiffers = sql<boolean>`t.bytes <> r.size_bytes`
/** Rounded up: the bytes of an image may be a snapshot's. */
const roundedDiffers = sql<boolean>`(r.size_bytes > t.bytes or (r.size_bytes <= t.bytes - ${sql.lit(1024 ** 3)} and t.bytes > ${sql.lit(1024 ** 3)}))`

export const owners = [
  { kind: 'object', table: 'objects', sizeBytes, sizeDiffers, exported: false },
  { kind: 'image', table: 'images', sizeBytes, sizeDiffers, exported: true },
  { kind: 'snapshot', table: 'snapshots', sizeBytes: sizeOfGib, sizeDiffers: roundedDiffers, exported: true },
  { kind: 'volume', table: 'volumes', sizeBytes: sizeOfGib, sizeDiffers, exported: true },
  { kind: 'twin', table: 'image_twins', sizeBytes, sizeDiffers, exported: false },
  { kind: 'job', table: 'jobs', sizeBytes, sizeDiffers, exported: false },
] as const satisfies readonly Owner[]

export type OwnerKind = (typeof owners)[number]['kind']

type Exported = Extract<(typeof owners)[number], { exported: true }>

/** What NBD can export. */
export type ExportKind = Exported['kind']

/** Volumes first: operators ask for them most. */
export const exportedOwners: readonly Exported[] = owners.filter((owner): owner is Exported => owner.exported).reverse()

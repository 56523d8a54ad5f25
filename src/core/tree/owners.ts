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
  /** Operators reach it over NBD by its ID. */
  readonly exported: boolean
}

const sizeBytes = sql<number>`size_bytes`
const sizeOfGib = sql<number>`size_gib * ${sql.lit(1024 ** 3)}`

export const owners = [
  { kind: 'object', table: 'objects', sizeBytes, exported: false },
  { kind: 'image', table: 'images', sizeBytes, exported: true },
  { kind: 'snapshot', table: 'snapshots', sizeBytes: sizeOfGib, exported: true },
  { kind: 'volume', table: 'volumes', sizeBytes: sizeOfGib, exported: true },
] as const satisfies readonly Owner[]

export type OwnerKind = (typeof owners)[number]['kind']

type Exported = Extract<(typeof owners)[number], { exported: true }>

/** What NBD can export. */
export type ExportKind = Exported['kind']

/** Volumes first: operators ask for them most. */
export const exportedOwners: readonly Exported[] = owners.filter((owner): owner is Exported => owner.exported).reverse()

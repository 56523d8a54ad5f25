/**
 * `atoll check --repair`: puts right what follows from the rest of the store, and leaves alone what does not.
 *
 * Invariants
 *   1. No byte that a record or a row refers to is changed or freed, and no record.
 *   2. Nothing at all is changed while the catalog or the records cannot be read, or the two do not belong together: what nobody
 *      mentions in one of them may be what the right one speaks of.
 *   3. Layers that no row knows are dropped only when every layer that a row refers to is there, and every record can be read:
 *      what looks like an orphan may be what a lost row spoke of.
 *   4. Everything may be cut off at any point and done again.
 */

import { sql } from 'kysely'
import { Catalog } from '../../catalog/catalog.js'
import type { Transaction } from '../../catalog/types.js'
import { descriptions } from './catalog_findings.js'
import { Engine, type EngineLog } from '../../engine/engine.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import { blocksOf } from '../../lib/units.js'
import { type Examination, storeIsMade } from './check.js'
import type { DataDirectory } from '../directory/data_directory.js'

/** Why nothing may be repaired, in words; undefined: it may. */
export function refusalOf({ report }: Examination): string | undefined {
  const kinds = new Set(report.findings.map(({ kind }) => kind))
  if (kinds.has('store_mismatch') || kinds.has('catalog_older'))
    return 'nothing is repaired while the catalog and the store do not belong together'
  if (kinds.has('catalog_unreadable') || kinds.has('records_unreadable'))
    return 'nothing is repaired while the catalog or the records cannot be read'
  return undefined
}

/** The caller holds the lock of the data directory. Answers what was done, in words; nothing where refusalOf() answers. */
export async function repair(directory: DataDirectory, examination: Examination, log?: EngineLog): Promise<string[]> {
  if (refusalOf(examination) !== undefined) return []
  const { report, catalogTrusted } = examination
  const kinds = new Set(report.findings.map(({ kind }) => kind))
  const did: string[] = []
  if (kinds.has('format_unreadable')) {
    directory.writeFormat()
    did.push('the file "format" is written anew')
  }
  const catalog = await Catalog.open({ ...directory.catalogAt(), schema: 'exact' })
  try {
    // Rows of a broken tree are looked at by people.
    if (catalogTrusted) did.push(...(await catalog.transaction((tx) => repairCatalog(catalog, tx))))
    const known = new Set((await catalog.db.selectFrom('layers').select('id').execute()).map(({ id }) => id))
    if (storeIsMade(directory)) did.push(...(await repairEngine(directory, { known, catalogTrusted, log })))
  } finally {
    await catalog.close()
  }
  return did
}

async function repairEngine(
  directory: DataDirectory,
  { known, catalogTrusted, log }: { known: ReadonlySet<LayerId>; catalogTrusted: boolean; log: EngineLog | undefined },
): Promise<string[]> {
  const engine = await Engine.open({ storeDir: directory.store, purpose: 'repair', reactors: 1, ...(log && { log }) })
  try {
    const did = await engine.health.repair()
    const { trusted } = await engine.health.check({ layers: [...known], data: false })
    if (!trusted) return did
    // Counts and marks are right now: what is marked as garbage is.
    await engine.health.recover()
    if (catalogTrusted) {
      for (const layer of (await engine.layers.list()).filter((id) => !known.has(id))) {
        await engine.layers.drop(layer)
        did.push(`layer ${layer}, which no row knows, is dropped`)
      }
    }
    await engine.health.reclaimed()
    return did
  } finally {
    await engine.shutdown()
  }
}

async function repairCatalog(catalog: Catalog, tx: Transaction): Promise<string[]> {
  const did: string[] = []
  await deleteDanglingRows(catalog, tx, did)
  await raiseLayerNumbers(tx, did)
  await keepDroppingLayers(tx, did)
  await lowerLimits(tx, did)
  await sealLayers(tx, did)
  await giveNewHeads(tx, did)
  await count(tx, did)
  return did
}

async function deleteDanglingRows(catalog: Catalog, tx: Transaction, did: string[]): Promise<void> {
  for (const { table, parent, remove } of await catalog.brokenReferences(tx.db)) {
    if (!descriptions.includes(table)) continue
    await remove()
    did.push(`a row of ${table} that belonged to nothing in ${parent} is deleted`)
  }
}

async function raiseLayerNumbers(tx: Transaction, did: string[]): Promise<void> {
  const { numUpdatedRows } = await tx.db
    .updateTable('sequences')
    .set({ next: sql<number>`(select max(id) + 1 from layers)` })
    .where('name', '=', 'layers')
    .where('next', '<=', sql<number>`(select max(id) from layers)`)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows > 0) did.push('the numbers of new layers go on from the largest one')
}

async function keepDroppingLayers(tx: Transaction, did: string[]): Promise<void> {
  const { rows } = await sql<{
    id: LayerId
  }>`update layers set state = 'live' where state = 'dropping' and (parent is not null
      or exists (select 1 from layers c where c.parent = layers.id)
      or exists (select 1 from resources r where r.head_layer = layers.id)) returning id`.execute(tx.db)
  for (const { id } of rows) did.push(`layer ${id} is kept`)
}

async function lowerLimits(tx: Transaction, did: string[]): Promise<void> {
  const { rows } = await sql<{ id: LayerId; parent: LayerId | null; shown: number; most: number | null }>`
    select id, parent, shown, most from (select id, parent, parent_limit_blocks as shown,
        (select (max(size_bytes) + 4095) / 4096 from resources where head_layer = layers.id) as most from layers) as limits
      where shown < 0 or (parent is null and shown > 0) or shown > most`.execute(tx.db)
  for (const { id, parent, shown, most } of rows) {
    const limit = parent === null ? 0 : Math.max(0, Math.min(shown, most ?? shown))
    await tx.db.updateTable('layers').set({ parent_limit_blocks: limit }).where('id', '=', id).execute()
    did.push(`layer ${id} shows no more of its parent than it may`)
  }
}

/** What has a child, or a resource that is read-only or not alone, must not change. */
async function sealLayers(tx: Transaction, did: string[]): Promise<void> {
  const { rows } = await sql<{ id: LayerId }>`update layers set sealed = 1 where sealed = 0 and (
      exists (select 1 from layers c where c.parent = layers.id)
      or exists (select 1 from resources r where r.head_layer = layers.id and r.mode = 'ro')
      or (select count(*) from resources r where r.head_layer = layers.id) > 1) returning id`.execute(tx.db)
  for (const { id } of rows) did.push(`layer ${id} is sealed`)
}

/** A writable resource on a sealed layer goes on above it, as after a snapshot (tree.ts). */
async function giveNewHeads(tx: Transaction, did: string[]): Promise<void> {
  const { rows } = await sql<{ id: ResourceId; size_bytes: number; head_layer: LayerId }>`
    select r.id, r.size_bytes, r.head_layer from resources r join layers l on l.id = r.head_layer
      where r.mode = 'rw' and l.sealed = 1`.execute(tx.db)
  for (const { id, size_bytes, head_layer } of rows) {
    const { next } = await tx.db
      .updateTable('sequences')
      .set((e) => ({ next: e('next', '+', 1) }))
      .where('name', '=', 'layers')
      .returning('next')
      .executeTakeFirstOrThrow()
    const layer = (next - 1) as LayerId
    const row = { parent: head_layer, parent_limit_blocks: blocksOf(size_bytes), sealed: 0, state: 'live' } as const
    await tx.db
      .insertInto('layers')
      .values({ id: layer, ...row, created_at: Date.now() })
      .execute()
    await tx.db.updateTable('resources').set({ head_layer: layer }).where('id', '=', id).execute()
    did.push(`the resource ${id} goes on with the new layer ${layer} over layer ${head_layer}`)
  }
}

async function count(tx: Transaction, did: string[]): Promise<void> {
  const containers = await sql<{ id: string }>`update containers set
      object_count = (select count(*) from objects where container_id = containers.id),
      bytes_used = (select coalesce(sum(size_bytes), 0) from objects where container_id = containers.id)
      where object_count <> (select count(*) from objects where container_id = containers.id)
        or bytes_used <> (select coalesce(sum(size_bytes), 0) from objects where container_id = containers.id)
      returning id`.execute(tx.db)
  for (const { id } of containers.rows) did.push(`the objects of the container ${id} are counted anew`)
  const sums = sql`(select count(*), coalesce(sum(object_count), 0), coalesce(sum(bytes_used), 0) from containers
      where project_id = accounts.project_id)`
  const accounts = await sql<{ id: string }>`update accounts set (container_count, object_count, bytes_used) = ${sums}
      where (container_count, object_count, bytes_used) <> ${sums} returning project_id as id`.execute(tx.db)
  for (const { id } of accounts.rows) did.push(`the account of the project ${id} is counted anew`)
  const projects = await sql<{ id: string }>`insert into block_usage (project_id, volumes, volume_gib, snapshots)
      select c.id, c.volumes, c.gib, c.snapshots from (
        select id, (select count(*) from volumes where project_id = projects.id) as volumes,
          (select coalesce(sum(size_gib), 0) from volumes where project_id = projects.id) as gib,
          (select count(*) from snapshots where project_id = projects.id and listed = 1) as snapshots from projects) as c
      left join block_usage as u on u.project_id = c.id
      where coalesce(u.volumes, 0) <> c.volumes or coalesce(u.volume_gib, 0) <> c.gib
        or coalesce(u.snapshots, 0) <> c.snapshots
      on conflict (project_id) do update set volumes = excluded.volumes, volume_gib = excluded.volume_gib,
        snapshots = excluded.snapshots returning project_id as id`.execute(tx.db)
  for (const { id } of projects.rows) did.push(`the volumes and snapshots of the project ${id} are counted again`)
}

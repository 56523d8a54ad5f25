/** The tree's rows of the catalog: resources and layers. tree.ts decides, this writes. */

import { sql } from 'kysely'
import type { Reader, Transaction } from '../../catalog/types.js'
import { Prepared, PreparedInsert } from '../../catalog/prepared.js'
import { takesRowLocks } from '../../catalog/row_locks.js'
import { flag, type ResourceRow } from '../../catalog/schema.js'
import { type LayerId, newResourceId, type ResourceId } from '../../lib/ids.js'
import { ResourceNotFound } from '../model/errors.js'
import { owners } from './owners.js'

/** Throws ResourceNotFound. */
export async function resourceRow(db: Reader, id: ResourceId): Promise<ResourceRow> {
  const row = await db.selectFrom('resources').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new ResourceNotFound(id)
  return row
}

const holderOf = new Prepared<{ id: string }, [resource: ResourceId]>((db) => {
  // One parameter, whatever the number of owners.
  const holders = owners.map(({ table }) => sql`select id from ${sql.table(table)} where resource_id = resources.id`)
  return sql<{ id: string }>`select id from resources where id = ${''}
    and exists (${sql.join(holders, sql` union all `)})`.compile(db)
})

/** Whether any row refers to the resource (owners.ts). */
export async function isUsed({ db }: Transaction, id: ResourceId): Promise<boolean> {
  return (await holderOf.first(db, id)) !== undefined
}

const resourceDelete = new Prepared<{ head_layer: LayerId }, [id: ResourceId]>((db) =>
  db
    .deleteFrom('resources')
    .where('id', '=', '' as ResourceId)
    .returning('head_layer')
    .compile(),
)

/** Answers its head; undefined: there was none such. */
export async function deleteResource({ db }: Transaction, id: ResourceId): Promise<LayerId | undefined> {
  return (await resourceDelete.first(db, id))?.head_layer
}

const resourceInsert = new PreparedInsert('resources', ['id', 'mode', 'size_bytes', 'head_layer', 'created_at'])

export async function insertResource(
  tx: Transaction,
  { mode, sizeBytes, head }: { mode: 'ro' | 'rw'; sizeBytes: number; head: LayerId },
): Promise<ResourceId> {
  const id = newResourceId()
  await resourceInsert.run(tx.db, { id, mode, size_bytes: sizeBytes, head_layer: head, created_at: Date.now() })
  return id
}

const layerInsert = new PreparedInsert('layers', [
  'id',
  'parent',
  'parent_limit_blocks',
  'sealed',
  'state',
  'created_at',
])

export async function insertLayer(
  tx: Transaction,
  layer: { id: LayerId; parent: LayerId | null; parentLimitBlocks: number; sealed: boolean },
): Promise<void> {
  await layerInsert.run(tx.db, {
    id: layer.id,
    parent: layer.parent,
    parent_limit_blocks: layer.parentLimitBlocks,
    sealed: flag(layer.sealed),
    state: 'live',
    created_at: Date.now(),
  })
}

const lockOf = (how: 'share' | 'update') =>
  new Prepared<{ id: LayerId }, [id: LayerId]>((db) =>
    sql<{ id: LayerId }>`select id from layers where id = ${0} and state = 'live' for ${sql.raw(how)}`.compile(db),
  )
const layerLocks = { share: lockOf('share'), update: lockOf('update') }

/**
 * `share`: for whoever puts a resource or a child on a layer that is there already, so that nobody takes it out of the tree before the
 * transaction ends. `update`: for whoever takes it out, before looking who is on it. Answers false when it has left the tree.
 */
export async function lockLayer({ db }: Transaction, id: LayerId, how: keyof typeof layerLocks): Promise<boolean> {
  return !takesRowLocks(db) || (await layerLocks[how].first(db, id)) !== undefined
}

export async function sealLayer(tx: Transaction, id: LayerId): Promise<void> {
  await tx.db.updateTable('layers').set({ sealed: 1 }).where('id', '=', id).execute()
}

export async function moveHead(tx: Transaction, id: ResourceId, head: LayerId): Promise<void> {
  await tx.db.updateTable('resources').set({ head_layer: head }).where('id', '=', id).execute()
}

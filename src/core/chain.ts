/** The chain of a resource: its layers from the head to the root, as the engine wants to be told. */

import { sql } from 'kysely'
import type { Reader } from '../catalog/catalog.js'
import type { Chain, ResourceSpec } from '../engine/spec.js'
import type { LayerId, ResourceId } from '../lib/ids.js'
import { ResourceNotFound } from './errors.js'

/** Throws ResourceNotFound. */
export async function specOf(db: Reader, id: ResourceId): Promise<ResourceSpec> {
  const resource = await db.selectFrom('resources').selectAll().where('id', '=', id).executeTakeFirst()
  if (resource === undefined) throw new ResourceNotFound(id)
  return {
    id,
    sizeBytes: resource.size_bytes,
    readOnly: resource.mode === 'ro',
    layers: await chainFrom(db, resource.head_layer),
  }
}

/** Head first, root last. */
export async function chainFrom(db: Reader, head: LayerId): Promise<Chain> {
  const { rows } = await sql<{ id: LayerId; parent_limit_blocks: number }>`
    with recursive chain(id, parent, parent_limit_blocks, depth) as (
      select id, parent, parent_limit_blocks, 0 from layers where id = ${head}
      union all
      select layers.id, layers.parent, layers.parent_limit_blocks, chain.depth + 1
        from layers join chain on layers.id = chain.parent
    )
    select id, parent_limit_blocks from chain order by depth`.execute(db)
  if (rows.length === 0) throw new Error(`the catalog has no layer ${head}`)
  return rows.map((row) => ({ id: row.id, parentLimitBlocks: row.parent_limit_blocks }))
}

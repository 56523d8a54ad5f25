/** The chain of a resource: its layers from the head to the root, as the engine wants to be told. */

import { sql } from 'kysely'
import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import type { ResourceRow } from '../../catalog/schema.js'
import type { Chain, ResourceSpec } from '../../engine/spec.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import { ResourceNotFound, TreeDamaged } from '../model/errors.js'

/** The resource and its head; in a damaged tree the head's columns may be null. */
type ResourceAndHead = Pick<ResourceRow, 'mode' | 'size_bytes' | 'head_layer'> & {
  parent: LayerId | null
  parent_limit_blocks: number | null
}

const resourceBy = new Prepared<ResourceAndHead, [id: ResourceId]>((db) =>
  db
    .selectFrom('resources')
    .leftJoin('layers', 'layers.id', 'resources.head_layer')
    .select(['mode', 'size_bytes', 'head_layer', 'parent', 'parent_limit_blocks'])
    .where('resources.id', '=', '' as ResourceId)
    .compile(),
)

const chainBy = new Prepared<{ id: LayerId; parent: LayerId | null; parent_limit_blocks: number }, [head: LayerId]>(
  (db) =>
    sql<{ id: LayerId; parent: LayerId | null; parent_limit_blocks: number }>`
    with recursive chain(id, parent, parent_limit_blocks, depth) as (
      select id, parent, parent_limit_blocks, 0 from layers where id = ${0}
      union all
      select layers.id, layers.parent, layers.parent_limit_blocks, chain.depth + 1
        from layers join chain on layers.id = chain.parent and layers.id < chain.id
    )
    select id, parent, parent_limit_blocks from chain order by depth`.compile(db),
)

/** Throws ResourceNotFound. */
export async function specOf(db: Reader, id: ResourceId): Promise<ResourceSpec> {
  const resource = await resourceBy.first(db, id)
  if (resource === undefined) throw new ResourceNotFound(id)
  const { mode, size_bytes: sizeBytes, head_layer: head, parent, parent_limit_blocks: parentLimitBlocks } = resource
  // Most have one layer, and no chain to walk.
  const alone = parent === null && parentLimitBlocks !== null
  const layers: Chain = alone ? [{ id: head, parentLimitBlocks }] : await chainFrom(db, head)
  return { id, sizeBytes, readOnly: mode === 'ro', layers }
}

/** Head first, root last. Throws TreeDamaged. */
export async function chainFrom(db: Reader, head: LayerId): Promise<Chain> {
  // A parent is older than its child: in a damaged tree, that ends what would go in circles.
  const rows = await chainBy.all(db, head)
  // Without its lower end a chain would read as zeros what is not.
  const last = rows.at(-1)
  if (last === undefined || last.parent !== null) throw new TreeDamaged(last?.parent ?? head)
  return rows.map((row) => ({ id: row.id, parentLimitBlocks: row.parent_limit_blocks }))
}

/**
 * After a start: what an interrupted run left behind is settled.
 *
 * `settle` is quick and comes before anybody is served: rows in the middle of something. `sweep` may take a while and runs
 * beside the service: engine layers that no row knows, layers that nobody needs, tokens that have expired.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Engine } from '../../engine/engine.js'
import type { LayerId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import type { LayerIds } from './layer_ids.js'
import type { Reaper } from './reaper.js'

export interface SweepParts {
  catalog: Catalog
  engine: Engine
  layerIds: LayerIds
  reaper: Reaper
  log: Logger
}

export async function settle(catalog: Catalog): Promise<void> {
  await catalog.reservedTransaction(async ({ db }) => {
    // The upload died with the process that took it.
    await db.updateTable('images').set({ status: 'queued' }).where('status', '=', 'saving').execute()
  })
}

const layersPerQuery = 1000

/** Answers how many layers the engine had that no row knows. */
export async function sweep({ catalog, engine, layerIds, reaper, log }: SweepParts): Promise<number> {
  // Uploads of this run have layers without rows, rightly.
  const old = (await engine.layers.list()).filter((layer) => layer < layerIds.firstOfRun)
  let orphans = 0
  for (let i = 0; i < old.length; i += layersPerQuery) {
    for (const layer of await unknownTo(catalog, old.slice(i, i + layersPerQuery))) {
      orphans += 1
      reaper.consider(layer)
    }
  }
  if (orphans > 0) log.info({ orphans }, 'space of interrupted operations is given back')
  await reaper.scan()
  return orphans
}

/** Without those that a row refers to: that the layer's own row is missing is damage, and no reason to lose its data. */
async function unknownTo(catalog: Catalog, layers: LayerId[]): Promise<LayerId[]> {
  const { db } = catalog
  const rows = await db.selectFrom('layers').select('id').where('id', 'in', layers).execute()
  const heads = await db.selectFrom('resources').select('head_layer as id').where('head_layer', 'in', layers).execute()
  const parents = await db.selectFrom('layers').select('parent as id').where('parent', 'in', layers).execute()
  const known = new Set([...rows, ...heads, ...parents].map((row) => row.id))
  return layers.filter((layer) => !known.has(layer))
}

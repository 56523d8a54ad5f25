/** The description of a resource for the engine, with branded IDs. The shapes are those of addon/contract/resources.ts. */

import type { LayerId, ResourceId } from '../lib/ids.js'

/** One layer of a chain; `parentLimitBlocks`: how many of its parent's blocks, from the start, are visible through it. */
export interface ChainLink {
  id: LayerId
  parentLimitBlocks: number
}

/** Head first, root last; never empty. */
export type Chain = ChainLink[]

export interface ResourceSpec {
  id: ResourceId
  sizeBytes: number
  readOnly: boolean
  layers: Chain
}

/** What the engine is told of a resource, in the types of this house. Same shapes as in addon/contract.ts. */

import type { LayerId, ResourceId } from '../lib/ids.js'

/** One layer of a chain; `parentLimitBlocks` of its parent's blocks, from the start, show through it. */
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

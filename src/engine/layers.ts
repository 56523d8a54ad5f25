/** Layers of the engine: drop, merge and list them. */

import type { NativeLayers } from '../addon/contract/layers.js'
import { native } from '../addon/errors.js'
import type { LayerId } from '../lib/ids.js'

export interface MergeStep {
  parent: LayerId
  child: LayerId
  limitBlocks: number
}

export class Layers {
  readonly #native: NativeLayers

  constructor(layers: NativeLayers) {
    this.#native = layers
  }

  /** Idempotent. Throws EngineBusy while the chain of an open resource contains the layer. */
  drop(layer: LayerId): Promise<void> {
    return native(() => this.#native.drop(layer))
  }

  /** Moves up to `maxRegions` records of the parent into its only child. Returns the next cursor, or -1 at the end. */
  mergeStep(step: MergeStep & { cursor: number; maxRegions: number }): Promise<number> {
    return native(() => this.#native.mergeStep(step))
  }

  /** Takes `parent` out of the chains of open resources; `limitBlocks` is the child's new limit. */
  unlink(step: MergeStep): Promise<void> {
    return native(() => this.#native.unlink(step))
  }

  /** Returns the layers with records or a data file, ascending. */
  async list(): Promise<LayerId[]> {
    return (await native(() => this.#native.list())) as LayerId[]
  }

  /** True if there is a layer with this number or a larger one. Costs one seek. */
  async hasFrom(layer: LayerId): Promise<boolean> {
    return (await native(() => this.#native.list(layer, 1))).length > 0
  }
}

/** Layers: drop, merge and list them. native/node/objects/layers.cc. */

/** One layer of a chain. `parentLimitBlocks`: how many of its parent's 4 KiB blocks, from the start, are visible through it. */
export interface NativeLayer {
  id: number
  parentLimitBlocks: number
}

export interface NativeLayers {
  /** Removes all records of a layer and frees its space. Idempotent. Rejects with `busy` while the chain of an open resource contains it. */
  drop(layer: number): Promise<void>
  /**
   * Moves up to `maxRegions` of the parent's records (blocks below `limitBlocks`) into its only child, from region `cursor` on.
   * Returns the next cursor, or -1 when nothing is left to move. Idempotent; safe while the child is the live head of an open resource.
   */
  mergeStep(step: {
    parent: number
    child: number
    limitBlocks: number
    cursor: number
    maxRegions: number
  }): Promise<number>
  /**
   * Takes `parent` out of the chains of open resources. Requires that the catalog has linked `child` to the parent's parent;
   * `limitBlocks` is the child's new `parentLimitBlocks`.
   */
  unlink(step: { parent: number; child: number; limitBlocks: number }): Promise<void>
  /** Returns the layers with records or a data file, ascending, from layer `from` on (default: the first), at most `max` (default: all). */
  list(from?: number, max?: number): Promise<number[]>
}

/**
 * Space on the file systems of a data directory that is reserved for the catalog, the records and deletions
 * (native/store/space_reserve.h has the rules).
 */

import type { NativeAddon, NativeLog, NativeSpaceReserves } from '../addon/contract.js'
import { native } from '../addon/errors.js'
import { loadAddon } from '../addon/load.js'

export class SpaceReserves {
  readonly native: NativeSpaceReserves

  private constructor(reserves: NativeSpaceReserves) {
    this.native = reserves
  }

  /**
   * `directories`: the data directory first; missing ones are skipped. `bytes`: on each file system, at most an
   * eighth of it; 0: none. Throws AddonMissing, AddonBroken, and the engine's own errors.
   */
  static async open(
    options: { directories: string[]; bytes: number; log: NativeLog },
    addon: NativeAddon = loadAddon(),
  ): Promise<SpaceReserves> {
    return new SpaceReserves(await native(async () => addon.openSpaceReserves(options)))
  }

  /**
   * Returns true if tenants' writes that make the catalog grow must be refused.
   * @public Called by the catalog through an interface of its own.
   */
  low(): boolean {
    return this.native.low()
  }

  /**
   * Releases a part of the catalog's reserve. Returns false if nothing is left.
   * @public Called by the catalog through an interface of its own.
   */
  release(): boolean {
    return this.native.release()
  }

  /** Releases what opening the catalog and the records may need, on file systems that are nearly full. */
  prepareStart(): void {
    this.native.prepareStart()
  }

  /** From now on, released space is reserved again when there is room. */
  keep(): void {
    this.native.keep()
  }

  /** After the engine's shutdown. Idempotent. */
  close(): void {
    this.native.close()
  }
}

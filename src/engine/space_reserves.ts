/**
 * Space on the file systems of a data directory that only the catalog, the records and deletions may use
 * (native/store/space_reserve.h has the rules).
 */

import { loadAddon } from '../addon/load.js'
import { native } from '../addon/errors.js'
import type { NativeAddon, NativeLog, NativeSpaceReserves } from '../addon/contract.js'

export class SpaceReserves {
  readonly native: NativeSpaceReserves

  private constructor(reserves: NativeSpaceReserves) {
    this.native = reserves
  }

  /**
   * `directories`: the data directory first; those that do not exist are passed over. `bytes`: on each file system, at most an
   * eighth of it; 0: none. Throws AddonMissing, AddonBroken, and the engine's own errors.
   */
  static async open(
    options: { directories: string[]; bytes: number; log: NativeLog },
    addon: NativeAddon = loadAddon(),
  ): Promise<SpaceReserves> {
    return new SpaceReserves(await native(async () => addon.openSpaceReserves(options)))
  }

  /** Whether what makes the catalog grow for a tenant must be refused. */
  low(): boolean {
    return this.native.low()
  }

  /** Gives a part of the catalog's reserve up. False: nothing is left. */
  release(): boolean {
    return this.native.release()
  }

  /** Where the file systems are nearly full: gives up what opening the catalog and the records may need. */
  prepareStart(): void {
    this.native.prepareStart()
  }

  /** From now on what was given up is allocated again when there is room. */
  keep(): void {
    this.native.keep()
  }

  /** After the engine's shutdown. Idempotent. */
  close(): void {
    this.native.close()
  }
}

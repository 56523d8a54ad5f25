/** Finds and loads the native addon. */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { asError } from '../lib/errors.js'
import { AddonBroken, AddonMissing } from './errors.js'
import type { NativeAddon } from './contract.js'

/** Where the build puts it: the same from src/ and from dist/. `ATOLL_ADDON` names another one (sanitizer builds). */
export function addonPath(env: NodeJS.ProcessEnv = process.env): string {
  return env.ATOLL_ADDON || fileURLToPath(new URL('../../build/cmake/Release/atoll.node', import.meta.url))
}

/** Throws AddonMissing, AddonBroken. */
export function loadAddon(path: string = addonPath()): NativeAddon {
  if (!existsSync(path)) throw new AddonMissing(path)
  try {
    return createRequire(import.meta.url)(path) as NativeAddon
  } catch (error) {
    const cause = asError(error)
    throw new AddonBroken(path, cause.message, { cause })
  }
}

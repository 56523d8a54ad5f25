// cache.ts: what takes long to make (a kernel, a disk image) is kept in the checkout's .cache/guest between runs.
//
// Invariant: an entry appears whole or not at all. It is made beside its place and moved there; of two makers at one
// time the second one's work is thrown away.

import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cacheDir = fileURLToPath(new URL('../../.cache/guest/', import.meta.url))

/** The folder `name` of the cache; `make` fills an empty folder when it is not there yet. */
export async function cached(name: string, make: (dir: string) => Promise<void>): Promise<string> {
  const place = join(cacheDir, name)
  if (existsSync(place)) return place
  await mkdir(cacheDir, { recursive: true })
  const dir = await mkdtemp(`${place}.new-`)
  try {
    await make(dir)
    await rename(dir, place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
  return place
}

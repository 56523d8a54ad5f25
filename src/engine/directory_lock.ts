/** The lock of a directory, released when its process ends, however that happens. Taking it writes nothing (native/store/directory_lock.h). */

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { NativeAddon } from '../addon/contract.js'
import { loadAddon } from '../addon/load.js'

/** Another process holds the lock; `holder`: its ID, if it could be read. */
export class LockHeld extends Error {
  readonly holder: number | undefined

  constructor(path: string, holder: number | undefined, cause: unknown) {
    super(`${path} is held by process ${holder ?? 'unknown'}`, { cause })
    this.holder = holder
  }
}

/** Returns a function that releases the lock. Throws LockHeld, AddonMissing, AddonBroken, and errors of system calls. */
export function lockDirectory(path: string, addon: NativeAddon = loadAddon()): () => void {
  try {
    return addon.lockDirectory(path)
  } catch (error) {
    if ((error as { code?: unknown }).code === 'busy') throw new LockHeld(path, holderOf(path), error)
    throw error
  }
}

/** By the kernel's list of locks. undefined: it shows none, as for processes of another PID namespace. */
function holderOf(directory: string): number | undefined {
  let locks: string
  try {
    locks = readFileSync('/proc/locks', 'utf8')
  } catch {
    return undefined
  }
  for (const path of [directory, join(directory, 'lock')]) {
    const file = statSync(path, { throwIfNoEntry: false, bigint: true })
    if (file === undefined) continue
    // proc(5): "1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF"
    const place = `${hex(majorOf(file.dev))}:${hex(minorOf(file.dev))}:${file.ino}`
    for (const line of locks.split('\n')) {
      const [, , , , process, where] = line.split(/ +/)
      if (where === place && Number(process) > 0) return Number(process)
    }
  }
  return undefined
}

// As gnu_dev_major(3) and gnu_dev_minor(3) take them apart.
const majorOf = (device: bigint) => ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)
const minorOf = (device: bigint) => (device & 0xffn) | ((device >> 12n) & 0xffffff00n)
const hex = (number: bigint) => number.toString(16).padStart(2, '0')

/**
 * The marks of a store: one small file in each of its directories that may be a file system of its own. A mark says which store
 * the directory belongs to, and in which generation of that store it was last used (store_identity.ts compares them).
 *
 * A mark is created durably under another name, and from then on changed in place: its 256 bytes lie in one sector, which a power cut
 * leaves old or new, and a change takes no space on a full file system.
 */

import { existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { asError } from '../../lib/errors.js'
import { writeFileDurably } from '../../lib/files.js'

/** In the order in which their marks are written. */
export const storeParts = ['records', 'store', 'data', 'content'] as const
export type StorePart = (typeof storeParts)[number]

export interface Mark {
  /** UUID of the store. */
  store: string
  generation: number
  /** Of the records' mark: the catalog has this generation too. Before that, nobody has been served in it. */
  settled: boolean
  /** Of the records' mark: the number of a change of the records that was durable, as all before it were. */
  recordsReach: number
}

/** `problem`: why there is no mark to be believed. `missing`: there is none at all. `directoryMissing`: nor its directory. */
export type FoundMark = { mark: Mark } | { problem: string; missing: boolean; directoryMissing: boolean }

const markBytes = 256
const markPattern =
  /^atoll store mark 1\npart ([a-z]+)\nstore ([0-9a-f-]{36})\ngeneration (\d{1,15})\nstate (begun|settled)\nrecords (\d{1,15})\n *\n$/

/** Relative to the store's directory, for people: `store/data`. */
export const partName = (part: StorePart): string => (part === 'store' ? 'store' : `store/${part}`)
export const partPath = (storeDir: string, part: StorePart): string =>
  part === 'store' ? storeDir : join(storeDir, part)
export const markPath = (storeDir: string, part: StorePart): string => join(partPath(storeDir, part), 'mark')

export function readMark(storeDir: string, part: StorePart): FoundMark {
  const directory = partPath(storeDir, part)
  let text: string
  try {
    text = readFileSync(markPath(storeDir, part), 'latin1')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return damaged(`its mark cannot be read (${asError(error).message})`)
    const directoryMissing = !existsSync(directory)
    return { problem: directoryMissing ? 'it is missing' : 'it has no mark', missing: true, directoryMissing }
  }
  const [, of, store = '', generation, state, recordsReach] =
    (text.length === markBytes && markPattern.exec(text)) || []
  if (of !== part) return damaged('its mark is damaged')
  const settled = state === 'settled'
  return { mark: { store, generation: Number(generation), settled, recordsReach: Number(recordsReach) } }
}

const damaged = (problem: string): FoundMark => ({ problem, missing: false, directoryMissing: false })

/** Durable when it resolves. The directory must be there. */
export async function writeMark(storeDir: string, part: StorePart, mark: Mark): Promise<void> {
  const path = markPath(storeDir, part)
  const text = markText(part, mark)
  if (!existsSync(path)) return writeFileDurably(path, text, 0o600)
  const file = await open(path, 'r+')
  try {
    await file.write(text, 0, 'latin1')
    await file.datasync()
  } finally {
    await file.close()
  }
}

function markText(part: StorePart, { store, generation, settled, recordsReach }: Mark): string {
  const lines = [
    'atoll store mark 1',
    `part ${part}`,
    `store ${store}`,
    `generation ${generation}`,
    `state ${settled ? 'settled' : 'begun'}`,
    `records ${recordsReach}`,
  ]
  return `${`${lines.join('\n')}\n`.padEnd(markBytes - 1)}\n`
}

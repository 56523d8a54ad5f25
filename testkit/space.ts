// space.ts: what a data directory takes up, by what the file system says.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'

/**
 * Bytes that du counts for the files of private data and of content chunks: not for records and rows, and not for
 * folders, which a file system never makes smaller.
 */
export async function dataBytes(dataDir: string): Promise<number> {
  const folders = ['data', 'content'].map((name) => join(dataDir, 'store', name))
  // A folder may go while it is looked at, and find then complains of that.
  const files = await execa('find', [...folders, '-type', 'f', '-print0'], { reject: false })
  const serious = files.stderr.split('\n').filter((line) => line !== '' && !/No such file or directory$/.test(line))
  if (serious.length > 0) throw new Error(serious.join('\n'))
  if (files.stdout === '') return 0
  // A file may go between the listing and the look at it: space is given back in the background.
  const sizes = await execa('du', ['--total', '--block-size=1', '--files0-from=-'], {
    input: files.stdout,
    reject: false,
  })
  const total = /^(\d+)\ttotal$/m.exec(sizes.stdout)?.[1]
  if (total === undefined) throw new Error(`du said:\n${sizes.all}`)
  return Number(total)
}

/** Waits, for a minute at most, until no more than `wanted` bytes are taken up; answers how many are. */
export async function spaceReturnsTo(wanted: number, dataDir: string): Promise<number> {
  for (let tries = 0; tries < 600; tries++) {
    if ((await dataBytes(dataDir)) <= wanted) break
    await sleep(100)
  }
  return dataBytes(dataDir)
}

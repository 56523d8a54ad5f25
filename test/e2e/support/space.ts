// space.ts: what a data directory takes up, by what the file system says.

import { join } from 'node:path'
import { execa } from 'execa'

/** Bytes that are allocated on the disk for data: private data and content chunks, not records and rows. */
export async function dataBytes(dataDir: string): Promise<number> {
  const folders = ['data', 'content'].map((name) => join(dataDir, 'store', name))
  // Deleted between the listing and the look at it: the background gives space back while du runs.
  const { stdout } = await execa('du', ['--summarize', '--total', '--block-size=1', ...folders], { reject: false })
  const total = /^(\d+)\ttotal$/m.exec(stdout)?.[1]
  if (total === undefined) throw new Error(`du said:\n${stdout}`)
  return Number(total)
}

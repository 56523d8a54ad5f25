/** Data to serve: bytes that neither compress nor repeat, so that no store can take a hole or a copy for them. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'

/** A file of random bytes in `dir`, made once. */
export async function patternFile(dir: string, sizeBytes: number): Promise<string> {
  const path = join(dir, `pattern-${sizeBytes}`)
  if (!existsSync(path))
    await execa('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', `count=${sizeBytes}`, 'iflag=count_bytes,fullblock'])
  return path
}

/** Writes it through the server, which then has the data in its own layout, and makes it durable. */
export async function fill(uri: string, pattern: string): Promise<void> {
  await execa('nbdcopy', ['--flush', pattern, uri])
}

/** Reads all of it once: a machine may drop from its page cache what nobody has used for a while. */
export async function warm(uri: string): Promise<void> {
  await execa('nbdcopy', [uri, 'null:'])
}

/** Throws unless the file or folder takes up at least so much: what is read from it later is data. */
export async function verifyAllocated(path: string, bytes: number): Promise<void> {
  const { stdout } = await execa('du', ['--summarize', '--block-size=1', path])
  const found = Number.parseInt(stdout, 10)
  if (!(found >= bytes)) throw new Error(`${path} takes up ${found} bytes where ${bytes} were written: it has holes`)
}

export async function createQcow2(path: string, sizeBytes: number, options: string[] = []): Promise<void> {
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, path, String(sizeBytes)])
}

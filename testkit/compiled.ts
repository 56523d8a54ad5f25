// compiled.ts: small native programs of the tests, compiled when they are older than their sources.

import { mkdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tool } from './nbd_tools.js'

const folder = fileURLToPath(new URL('../build/test-programs', import.meta.url))

/** The path of the program or library that this source, one file of C++, gives with these flags. */
export async function compiled(source: URL, flags: string[]): Promise<string> {
  const path = fileURLToPath(source)
  const program = join(folder, basename(path, '.cc'))
  if ((await timeOf(program)) < (await timeOf(path))) {
    await mkdir(folder, { recursive: true })
    // Renamed into place: another run may be starting it now.
    const fresh = `${program}.${process.pid}`
    await tool('g++', ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-o', fresh, path, ...flags])
    await tool('mv', [fresh, program])
  }
  return program
}

async function timeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
}

// programs.ts: the two native programs of the power cuts, compiled when they are older than their sources.

import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { tool } from '../../support/nbd_tools.js'

const folder = fileURLToPath(new URL('../../../build/power-cuts', import.meta.url))

/** recording_disk.cc */
export async function recordingDisk(): Promise<string> {
  const { stdout } = await execa('pkg-config', ['--cflags', '--libs', 'fuse3'])
  return compiled('recording_disk', stdout.trim().split(/\s+/))
}

/** forgetful_sync.cc, a library. */
export function forgetfulSync(): Promise<string> {
  return compiled('forgetful_sync', ['-shared', '-fPIC', '-ldl'])
}

async function compiled(name: string, flags: string[]): Promise<string> {
  const source = fileURLToPath(new URL(`${name}.cc`, import.meta.url))
  const program = join(folder, name)
  if ((await timeOf(program)) < (await timeOf(source))) {
    await mkdir(folder, { recursive: true })
    // Renamed into place: another run may be starting it now.
    const fresh = `${program}.${process.pid}`
    await tool('g++', ['-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-o', fresh, source, ...flags])
    await tool('mv', [fresh, program])
  }
  return program
}

async function timeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
}

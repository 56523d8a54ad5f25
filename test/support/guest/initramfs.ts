// initramfs.ts: the first root file system of a guest: busybox, kernel modules, the programs asked for, and an init.

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { gzipSync } from 'node:zlib'
import { execa } from 'execa'
import { busyboxPath } from './busybox.js'
import { type CpioEntry, cpio, directoryMode, fileMode, programMode } from './cpio.js'
import type { GuestKernel } from './kernel.js'

export interface InitramfsOptions {
  kernel: GuestKernel
  /** Shell lines that run once the modules are loaded and /proc, /sys and /dev are mounted. */
  init: string
  /** Programs of the host, by name or by path, that are copied with their shared libraries into /bin. */
  programs?: string[]
  /** Folders and files of the host that are copied to the same paths. */
  files?: string[]
}

export async function initramfs({ kernel, init, programs = [], files = [] }: InitramfsOptions): Promise<Buffer> {
  const contents = new Map<string, CpioEntry>()
  const add = (path: string, mode: number, content?: Buffer) => {
    for (const parent of parents(path))
      if (!contents.has(parent)) contents.set(parent, { path: parent, mode: directoryMode })
    contents.set(path, content ? { path, mode, content } : { path, mode })
  }
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'etc', 'run']) add(folder, directoryMode)
  add('bin/busybox', programMode, await readFile(await busyboxPath()))
  for (const path of kernel.modules) add(`modules/${basename(path)}`, fileMode, await readFile(path))
  for (const program of programs) {
    const path = await which(program)
    add(`bin/${basename(path)}`, programMode, await readFile(path))
    for (const library of await libraries(path)) add(library.slice(1), programMode, await readFile(library))
  }
  for (const path of files) add(path.slice(1), fileMode, await readFile(path))

  const lines = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin HOME=/tmp',
    'mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys',
    ...kernel.modules.map((path) => `insmod /modules/${basename(path)}`),
    init,
  ]
  add('init', programMode, Buffer.from(`${lines.join('\n')}\n`))
  return gzipSync(cpio([...contents.values()]), { level: 1 })
}

/** `a`, `a/b` of `a/b/c`. */
function parents(path: string): string[] {
  const steps = path.split('/').slice(0, -1)
  return steps.map((_, index) => steps.slice(0, index + 1).join('/'))
}

async function which(program: string): Promise<string> {
  if (program.startsWith('/')) return program
  const folders = ['/usr/sbin', '/sbin', '/usr/bin', '/bin']
  for (const folder of folders) if (existsSync(`${folder}/${program}`)) return `${folder}/${program}`
  throw new Error(`${program} is not installed (looked in ${folders.join(', ')})`)
}

/** The shared libraries of a program, the loader among them. */
async function libraries(path: string): Promise<string[]> {
  const { stdout } = await execa('ldd', [path], { reject: false })
  return [...stdout.matchAll(/(\/\S+)/g)]
    .map((match) => match[1] as string)
    .filter((library) => dirname(library) !== '/')
}

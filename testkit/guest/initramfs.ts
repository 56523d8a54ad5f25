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
  /** Programs by name from another distribution's tree. They keep that tree's libraries to themselves. */
  treePrograms?: { tree: string; programs: string[] }
}

export async function initramfs(options: InitramfsOptions): Promise<Buffer> {
  const { kernel, init, programs = [], files = [], treePrograms } = options
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
  if (treePrograms)
    for (const program of treePrograms.programs)
      for (const [path, content] of await fromTree(treePrograms.tree, program)) add(path, programMode, content)

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

/** Where the program is, as a path inside of the tree. */
async function which(program: string, tree = ''): Promise<string> {
  if (program.startsWith('/')) return program
  const folders = ['/usr/sbin', '/sbin', '/usr/bin', '/bin']
  for (const folder of folders) if (existsSync(`${tree}${folder}/${program}`)) return `${folder}/${program}`
  throw new Error(`${program} is not installed (looked in ${folders.map((folder) => tree + folder).join(', ')})`)
}

/**
 * The files of a program that runs with its own loader and libraries, below /tree: the guest's other programs come from this
 * machine, whose C library may be another version. /bin has a script that starts it.
 */
async function fromTree(tree: string, program: string): Promise<[path: string, content: Buffer][]> {
  const path = await which(program, tree)
  const { stdout } = await execa('chroot', [tree, 'ldd', path])
  const needed = librariesIn(stdout)
  const loader = needed.find((library) => basename(library).startsWith('ld-linux'))
  if (!loader) throw new Error(`${tree}${path} names no loader:\n${stdout}`)
  const folders = [...new Set(needed.map((library) => `/tree${dirname(library)}`))].join(':')
  const start = `#!/bin/sh\nexec /tree${loader} --library-path ${folders} /tree${path} "$@"\n`
  const contents = [path, ...needed].map(async (each): Promise<[string, Buffer]> => {
    // Libraries may be absolute symbolic links, which mean the tree.
    const { stdout: real } = await execa('chroot', [tree, 'readlink', '-f', each])
    return [`tree${each}`, await readFile(tree + real)]
  })
  return [[`bin/${program}`, Buffer.from(start)], ...(await Promise.all(contents))]
}

/** The shared libraries of a program, the loader among them. */
async function libraries(path: string): Promise<string[]> {
  const { stdout } = await execa('ldd', [path], { reject: false })
  return librariesIn(stdout)
}

/** The paths in the output of ldd. */
function librariesIn(stdout: string): string[] {
  return [...stdout.matchAll(/(\/\S+)/g)]
    .map((match) => match[1] as string)
    .filter((library) => dirname(library) !== '/')
}

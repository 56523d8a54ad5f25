// kernel.ts: the Linux kernel that guests run, taken from the distribution's package without installing it.
//
// Debian's cloud kernel (or Ubuntu's virtual one) is downloaded by apt-get, unpacked into the cache, and stripped to
// its image and the few modules that guests load. The host's /boot is left alone.

import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { execa } from 'execa'
import { cached } from './cache.js'

export interface GuestKernel {
  /** As `uname -r` tells it. */
  version: string
  /** The path of its bzImage. */
  image: string
  /** Paths of the modules, in the order in which they load. */
  modules: string[]
}

/** What every guest needs for its disks, its network and the kernel's own NBD client. */
const usual = ['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_rng', 'nbd']
/** What some guests load in addition: it is large. */
const extra = ['xfs']
export type ExtraModule = 'xfs'
/** Another name where it holds other files. */
const cacheName = 'kernel-2'

/** Packages whose first dependency is a kernel image, by distribution. */
const metaPackages = ['linux-image-cloud-amd64', 'linux-image-virtual']

export async function guestKernel({ extraModules = [] }: { extraModules?: ExtraModule[] } = {}): Promise<GuestKernel> {
  const dir = await cached(cacheName, fetchKernel)
  const lists = ['usual', ...extraModules].map((name) => readFile(join(dir, `${name}.order`), 'utf8'))
  // An extra one's list may begin with what others loaded before it.
  const modules = new Set((await Promise.all(lists)).flatMap((list) => list.split('\n').filter(Boolean)))
  return {
    version: (await readFile(join(dir, 'version'), 'utf8')).trim(),
    image: join(dir, 'vmlinuz'),
    modules: [...modules].map((name) => join(dir, 'modules', name)),
  }
}

async function fetchKernel(dir: string): Promise<void> {
  if (process.arch !== 'x64')
    throw new Error(`guests boot by a PC's BIOS: they need an x86-64 host, not ${process.arch}`)
  const unpacked = join(dir, 'unpacked')
  await mkdir(unpacked)
  for (const name of await packageNames()) {
    await execa('apt-get', ['download', '--quiet', name], { cwd: dir, all: true }).catch((error) => {
      throw new Error(`apt-get download ${name} failed (run apt-get update once):\n${error.all}`)
    })
  }
  for (const name of await readdir(dir))
    if (name.endsWith('.deb')) await execa('dpkg-deb', ['-x', join(dir, name), unpacked])

  const image = (await readdir(join(unpacked, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
  if (!image) throw new Error('the kernel package holds no /boot/vmlinuz-*')
  const version = image.slice('vmlinuz-'.length)
  await cp(join(unpacked, 'boot', image), join(dir, 'vmlinuz'))
  await writeFile(join(dir, 'version'), version)
  await mkdir(join(dir, 'modules'))
  const paths = await modulePaths(unpacked, version)
  const collect = async (list: string, names: string[]) =>
    writeFile(join(dir, `${list}.order`), await collectModules(paths, names, join(dir, 'modules')))
  await collect('usual', usual)
  for (const name of extra) await collect(name, [name])
  await rm(unpacked, { recursive: true })
  for (const name of await readdir(dir)) if (name.endsWith('.deb')) await rm(join(dir, name))
}

/** The image package that this distribution's newest cloud kernel is in, and that of its modules where it is another. */
async function packageNames(): Promise<string[]> {
  for (const meta of metaPackages) {
    const { stdout } = await execa('apt-cache', ['depends', meta], { reject: false })
    const image = /Depends: (linux-image-\S+)/.exec(stdout)?.[1]
    if (!image) continue
    const modules = image.replace('linux-image-', 'linux-modules-')
    const { exitCode } = await execa('apt-cache', ['show', modules], { reject: false })
    return exitCode === 0 ? [image, modules] : [image]
  }
  throw new Error(`apt-cache knows none of ${metaPackages.join(', ')} (run apt-get update once)`)
}

/** Where the package has each module. */
async function modulePaths(unpacked: string, version: string): Promise<Map<string, string>> {
  const roots = ['lib/modules', 'usr/lib/modules'].map((path) => join(unpacked, path, version))
  const root = roots.find((path) => existsSync(path))
  if (!root) throw new Error(`the kernel package holds no modules of ${version}`)
  const paths = new Map<string, string>()
  for (const path of await readdir(root, { recursive: true })) {
    const name = /^(.+)\.ko(\.xz|\.zst|\.gz)?$/.exec(basename(path))?.[1]
    if (name) paths.set(moduleName(name), join(root, path))
  }
  return paths
}

/** Copies these modules and what they depend on; answers their names, one a line, dependencies first. */
async function collectModules(paths: Map<string, string>, names: string[], target: string): Promise<string> {
  const order: string[] = []
  const collect = async (name: string): Promise<void> => {
    const path = paths.get(moduleName(name))
    // What is not a module is built into this kernel.
    if (!path || order.includes(`${moduleName(name)}.ko`)) return
    const code = await decompressed(path)
    for (const dependency of dependencies(code)) await collect(dependency)
    await writeFile(join(target, `${moduleName(name)}.ko`), code)
    order.push(`${moduleName(name)}.ko`)
  }
  for (const name of names) await collect(name)
  return order.join('\n')
}

/** The kernel takes dashes and underscores in the names of modules for the same. */
function moduleName(name: string): string {
  return name.replaceAll('-', '_')
}

/** What the module's own .modinfo section says it depends on. */
function dependencies(code: Buffer): string[] {
  const start = code.indexOf('\0depends=')
  if (start < 0) return []
  const text = code.toString('latin1', start + '\0depends='.length, code.indexOf(0, start + 1))
  return text.split(',').filter(Boolean)
}

async function decompressed(path: string): Promise<Buffer> {
  const program = { xz: 'xz', zst: 'zstd', gz: 'gzip' }[path.split('.').at(-1) ?? '']
  if (!program) return readFile(path)
  const { stdout } = await execa(program, ['-dc', path], { encoding: 'buffer' })
  return Buffer.from(stdout)
}

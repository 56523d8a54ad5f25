// boot_disk.ts: builds a small disk that a PC boots: MBR → extlinux → kernel → init on the disk's own ext4.
//
//   sector 0          boot code of extlinux and one active partition
//   1 MiB to the end  ext4: /boot (kernel, initramfs, extlinux), /bin/busybox, /sbin/init
//
// Its init mounts the root file system for writing and obeys the serial line (serial_shell.ts).
// Needs root and a free loop device: extlinux installs itself into a mounted file system.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { busyboxPath } from './busybox.js'
import { cached } from './cache.js'
import { initramfs } from './initramfs.js'
import { type GuestKernel, guestKernel } from './kernel.js'
import { serialShell } from './serial_shell.js'

export const bootDiskBytes = 64 << 20
const sectorBytes = 512
const partitionStart = 1 << 20
const partitionBytes = bootDiskBytes - partitionStart

const bootCodes = ['/usr/lib/EXTLINUX/mbr.bin', '/usr/lib/syslinux/mbr/mbr.bin']

/** The path of the disk image, raw, {@link bootDiskBytes} long. Made when the cache has none. Do not write to it. */
export async function bootDisk(): Promise<string> {
  const kernel = await guestKernel()
  const source = await readFile(fileURLToPath(import.meta.url))
  const key = createHash('sha256').update(kernel.version).update(serialShell).update(source).digest('hex').slice(0, 16)
  return join(await cached(`boot-disk-${key}`, (dir) => build(kernel, join(dir, 'disk.raw'))), 'disk.raw')
}

async function build(kernel: GuestKernel, path: string): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-boot-disk-'))
  let loop = ''
  let mounted = false
  try {
    await makeTree(kernel, join(dir, 'root'))
    await writeFile(path, '')
    await truncate(path, bootDiskBytes)
    await writeBootSector(path)
    loop = (await execa('losetup', losetupArguments(path))).stdout
    await execa('mke2fs', [...mke2fsArguments, '-d', join(dir, 'root'), loop])
    await mkdir(join(dir, 'mnt'))
    await execa('mount', [loop, join(dir, 'mnt')])
    mounted = true
    await execa('extlinux', ['--install', join(dir, 'mnt', 'boot')])
  } finally {
    if (mounted) await execa('umount', [join(dir, 'mnt')])
    if (loop) await execa('losetup', ['-d', loop])
    await rm(dir, { recursive: true, force: true })
  }
}

// extlinux 6 reads ext4 without 64bit and without the features that newer mke2fs switches on. With the blocks of 1 KiB
// that mke2fs takes for a small disk it fails on a kernel of many extents.
const mke2fsArguments = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-O', '^64bit,^metadata_csum_seed,^orphan_file']

/** The size limit matters: without it mke2fs takes the partition for as long as the rest of the file. */
function losetupArguments(path: string): string[] {
  return ['-f', '--show', '-o', String(partitionStart), '--sizelimit', String(partitionBytes), path]
}

/** The root file system as a folder. */
async function makeTree(kernel: GuestKernel, root: string): Promise<void> {
  for (const folder of ['bin', 'boot', 'dev', 'etc', 'mnt', 'proc', 'sbin', 'sys', 'tmp'])
    await mkdir(join(root, folder), { recursive: true })
  await cp(await busyboxPath(), join(root, 'bin/busybox'))
  await symlink('busybox', join(root, 'bin/sh'))
  await cp(kernel.image, join(root, 'boot/vmlinuz'))
  await writeFile(join(root, 'boot/initramfs'), await initramfs({ kernel, init: switchToDisk }))
  await writeFile(join(root, 'boot/extlinux.conf'), extlinuxConf)
  await writeFile(join(root, 'sbin/init'), diskInit)
  await chmod(join(root, 'sbin/init'), 0o755)
}

const extlinuxConf = `default atoll
prompt 0
label atoll
  kernel /boot/vmlinuz
  initrd /boot/initramfs
  append console=ttyS0 quiet panic=-1 tsc=reliable
`

/** In the initramfs: the root file system is what the disk's boot loader came from. */
const switchToDisk = `
while [ ! -b /dev/vda1 ]; do sleep 0.1; done
mount -t ext4 /dev/vda1 /mnt || poweroff -f
umount /sys /proc
mount -o move /dev /mnt/dev
exec switch_root /mnt /sbin/init`

/** On the disk. */
const diskInit = `#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/tmp
mount -t proc proc /proc; mount -t sysfs sys /sys
${serialShell}
`

/** Boot code and a partition table with one active Linux partition. Rule: the MBR's table starts at byte 446. */
async function writeBootSector(path: string): Promise<void> {
  const code = bootCodes.find((name) => existsSync(name))
  if (!code) throw new Error('no boot code for the MBR: apt-get install extlinux syslinux-common')
  const sector = Buffer.alloc(sectorBytes)
  sector.set((await readFile(code)).subarray(0, 440))
  const active = 0x80
  const linux = 0x83
  sector.set([active, 0xfe, 0xff, 0xff, linux, 0xfe, 0xff, 0xff], 446) // cylinders and heads: "use the sectors"
  sector.writeUInt32LE(partitionStart / sectorBytes, 446 + 8)
  sector.writeUInt32LE(partitionBytes / sectorBytes, 446 + 12)
  sector.writeUInt16LE(0xaa55, 510)
  const file = await open(path, 'r+')
  await file.write(sector, 0, sectorBytes, 0)
  await file.close()
}

// nbd_guest.ts: a guest with the kernel's own NBD client: a network, nbd-client, atoll-attach, and tools for ext4.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { newestClients, newestTree } from '../nbd_tools.js'
import { initramfs } from './initramfs.js'
import { type ExtraModule, guestKernel } from './kernel.js'
import { Machine, type MachineOptions } from './machine.js'
import { serialShell } from './serial_shell.js'

const attachProgram = fileURLToPath(new URL('../../build/cmake/Release/atoll-attach', import.meta.url))

/** The host's 127.0.0.1, as seen from a guest. */
export const hostAddress = '10.0.2.2'

/** The URI of an export of the host's loopback address, for programs in the guest. */
export function guestUri(uri: string): string {
  return uri.replace('//127.0.0.1:', `//${hostAddress}:`)
}

/** Shell: waits until no keeper is left. The end of a keeper is a moment after the command that ends it. */
export const untilNoKeeper = 'while pidof atoll-attach >/dev/null; do sleep 0.1; done'

/** Shell: kills every keeper and waits for its end, because a keeper holds the lock of its device until then. */
export const killKeepers = `kill -9 $(pidof atoll-attach) && ${untilNoKeeper}`

const network = `
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2`

/** With `clients`, QEMU and the guest's nbd-client are of that generation. */
export interface NbdGuestOptions extends Partial<Omit<MachineOptions, 'kernel'>> {
  /** More programs of the host, by name or by path. */
  programs?: string[]
  /** Files of the host, at the same paths. */
  files?: string[]
  extraModules?: ExtraModule[]
}

/** Resolves when the guest takes commands. It has a network, and the disks that it is given. */
export async function bootNbdGuest(options: NbdGuestOptions = {}): Promise<Machine> {
  const { programs: more = [], files: moreFiles = [], extraModules = [], ...machine } = options
  const kernel = await guestKernel({ extraModules })
  const dir = await mkdtemp(join(tmpdir(), 'atoll-nbd-guest-'))
  try {
    const image = join(dir, 'initramfs')
    const programs = [attachProgram, 'mkfs.ext4', 'e2fsck', ...more]
    const files = ['/etc/mke2fs.conf', ...moreFiles]
    const init = `${network}\n${serialShell}`
    const content =
      machine.clients === newestClients
        ? { programs, treePrograms: { tree: await newestTree(), programs: ['nbd-client'] } }
        : { programs: ['nbd-client', ...programs] }
    await writeFile(image, await initramfs({ kernel, files, init, ...content }))
    const booted = { image: kernel.image, initramfs: image }
    return await Machine.boot({ disks: [], network: true, ...machine, kernel: booted })
  } finally {
    await rm(dir, { recursive: true }) // QEMU has read it
  }
}

// accelerator.ts: how QEMU runs guests here: by KVM where a guest is seen to boot with it, else by translation.
//
// /dev/kvm alone says little: nested machines often have one with which guests hang. So a guest is tried once for each
// boot of the host, and the verdict is kept in the cache. ATOLL_GUEST_ACCEL=tcg|kvm decides without a try.

import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { cached } from './cache.js'
import { initramfs } from './initramfs.js'
import { guestKernel } from './kernel.js'

const tcg = ['-accel', 'tcg,thread=multi', '-cpu', 'max']
const kvm = ['-accel', 'kvm', '-cpu', 'host']
/** A guest that boots by KVM needs about one second. */
const tryLimitMs = 8000

/** The options of QEMU that choose the accelerator and the CPU. */
export async function accelerator(): Promise<string[]> {
  const chosen = process.env.ATOLL_GUEST_ACCEL
  if (chosen && chosen !== 'tcg' && chosen !== 'kvm') throw new Error(`ATOLL_GUEST_ACCEL is tcg or kvm, not ${chosen}`)
  if (chosen) return chosen === 'kvm' ? kvm : tcg
  if (!existsSync('/dev/kvm')) return tcg
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const dir = await cached(`kvm-${bootId}`, async (dir) => {
    await writeFile(join(dir, 'verdict'), (await bootsWithKvm(dir)) ? 'kvm' : 'tcg')
  })
  return (await readFile(join(dir, 'verdict'), 'utf8')) === 'kvm' ? kvm : tcg
}

async function bootsWithKvm(dir: string): Promise<boolean> {
  const kernel = await guestKernel()
  const initrd = join(dir, 'initramfs')
  await writeFile(initrd, await initramfs({ kernel, init: 'echo KVM-WORKS >/dev/ttyS0; poweroff -f' }))
  const args = [
    ...kvm,
    '-m',
    '256',
    '-nodefaults',
    '-no-reboot',
    '-display',
    'none',
    '-vga',
    'none',
    '-serial',
    'stdio',
  ]
  args.push('-kernel', kernel.image, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1')
  const { stdout } = await execa('qemu-system-x86_64', args, {
    reject: false,
    stdin: 'ignore',
    timeout: tryLimitMs,
    killSignal: 'SIGKILL',
  })
  return stdout.includes('KVM-WORKS')
}

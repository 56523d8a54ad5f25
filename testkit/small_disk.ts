// small_disk.ts: an ext4 of its own on a loop device, to run full, to fail, to be made read-only.

import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { MiB } from '../src/lib/units.js'
import { tool } from './nbd_tools.js'

interface Teardown {
  teardown(end: () => unknown): unknown
}

export class SmallDisk {
  readonly mount: string
  readonly #file: string

  private constructor(dir: string) {
    this.#file = join(dir, 'disk')
    this.mount = join(dir, 'mnt')
  }

  /** Mounted, without blocks that are kept for root; it goes with the test. Make it before the server that uses it. */
  static async make(t: Teardown, { mib }: { mib: number }): Promise<SmallDisk> {
    const dir = await mkdtemp(join(tmpdir(), 'atoll-disk-'))
    const disk = new SmallDisk(dir)
    await mkdir(disk.mount)
    await writeFile(disk.#file, '')
    await truncate(disk.#file, mib * MiB)
    await tool('mkfs.ext4', ['-q', '-m', '0', disk.#file])
    await disk.attach()
    // Teardowns run last first: the server ends before its disk is unmounted.
    t.teardown(async () => {
      await disk.detach()
      await rm(dir, { recursive: true })
    })
    return disk
  }

  /** `options`: of mount(8), such as `ro`. */
  async attach(options = 'rw'): Promise<void> {
    await tool('mount', ['-o', `loop,${options}`, this.#file, this.mount])
  }

  /** Nobody may use it any more. */
  async detach(): Promise<void> {
    for (let tries = 0; ; tries++) {
      const { exitCode, stderr } = await execa('umount', [this.mount], { reject: false })
      if (exitCode === 0 || /not mounted/.test(stderr)) return
      if (tries === 100) throw new Error(stderr)
      await sleep(100)
    }
  }

  /** As after an error of the device (ext4, errors=remount-ro): nothing is written any more, until it is attached anew. */
  async fail(): Promise<void> {
    await tool('mount', ['-o', 'remount,abort', this.mount])
  }
}

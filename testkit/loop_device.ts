// loop_device.ts: an NBD export as a block device of this host: nbdfuse makes it a file, a loop device a device.

import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'

/** Runs `use` with the device's path; takes everything apart again whatever happens. */
export async function withLoopDevice(uri: string, use: (device: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-loop-'))
  const file = join(dir, 'disk')
  await writeFile(file, '')
  const fuse = execa('nbdfuse', [file, uri], { reject: false, all: true })
  let device = ''
  try {
    await appears(file, () => fuse.exitCode !== null)
    device = (await execa('losetup', ['--find', '--show', file])).stdout
    await use(device)
  } finally {
    if (device) await execa('losetup', ['--detach', device])
    await unmount(file)
    const { all } = await fuse
    await rm(dir, { recursive: true })
    if (all) console.error(`nbdfuse: ${all}`)
  }
}

/** nbdfuse shows the export's size once it is mounted. */
async function appears(file: string, ended: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if ((await stat(file)).size > 0) return
    if (ended()) throw new Error('nbdfuse ended before it mounted anything')
    await sleep(50)
  }
  throw new Error('nbdfuse did not mount anything within 20 s')
}

/** The kernel lets a loop device go a moment after losetup has answered. */
async function unmount(file: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { exitCode } = await execa('fusermount3', ['-u', file], { reject: false })
    if (exitCode === 0) return
    await sleep(100)
  }
  await execa('fusermount3', ['-uz', file])
}

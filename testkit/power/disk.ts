// disk.ts: recording_disk.cc as a disk with a file system on it: to record on, or as a power cut left it.

import { closeSync, openSync, readSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { GiB } from '../../src/lib/units.js'
import { tool } from '../nbd_tools.js'
import { recordingDisk } from './programs.js'

export type FileSystem = 'ext4' | 'xfs' | 'btrfs'
export const fileSystems: readonly FileSystem[] = ['ext4', 'xfs', 'btrfs']

/** What became of the writes that no flush followed. */
export type Keep = 'none' | 'all' | 'some' | 'torn'
export const keeps: readonly Keep[] = ['none', 'all', 'some', 'torn']

const sizeBytes = 2 * GiB

/** The folders and files of a recording and its cuts; all of them go with `remove`. */
export class Scratch {
  readonly log: string
  readonly positionFile: string
  /** Where the disk's file system is mounted. */
  readonly mount: string
  readonly #fuse: string

  private constructor(readonly dir: string) {
    this.log = join(dir, 'log')
    this.positionFile = join(dir, 'position')
    this.mount = join(dir, 'mnt')
    this.#fuse = join(dir, 'fuse')
  }

  static async make(): Promise<Scratch> {
    const scratch = new Scratch(await mkdtemp(join(tmpdir(), 'atoll-power-')))
    await mkdir(scratch.mount)
    await mkdir(scratch.#fuse)
    return scratch
  }

  /** FUSE's folder while the disk exists. */
  get fuse(): string {
    return this.#fuse
  }

  get disk(): string {
    return join(this.#fuse, 'disk')
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true })
  }
}

export class RecordingDisk {
  readonly #scratch: Scratch
  readonly #process
  readonly #position: number

  private constructor(scratch: Scratch, process: ReturnType<typeof start>) {
    this.#scratch = scratch
    this.#process = process
    this.#position = openSync(scratch.positionFile, 'r')
  }

  /** A new file system, mounted; what is written to it is recorded. */
  static async begin(scratch: Scratch, fileSystem: FileSystem): Promise<RecordingDisk> {
    const { fuse, log, positionFile, disk, mount } = scratch
    const process = start(await recordingDisk(), ['record', fuse, String(sizeBytes), log, positionFile])
    await process.says('ready')
    const recording = new RecordingDisk(scratch, process)
    await tool(`mkfs.${fileSystem}`, [...mkfsOptions[fileSystem], disk])
    await tool('mount', ['-o', 'loop', disk, mount])
    return recording
  }

  /** How many entries the log has. All that somebody has had an answer to lies before it. */
  position(): number {
    const bytes = Buffer.alloc(8)
    readSync(this.#position, bytes, 0, 8, 0)
    return Number(bytes.readBigUInt64LE())
  }

  async end(): Promise<void> {
    await unmounted(this.#scratch.mount)
    await unmounted(this.#scratch.fuse)
    await this.#process.ended
    closeSync(this.#position)
  }
}

const mkfsOptions: Record<FileSystem, string[]> = {
  // Tables that are zeroed later, in the background, would be most of what is recorded.
  ext4: ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['-q', '-f'],
  btrfs: ['-q', '-f'],
}

/** The disk as power cuts left it: one cut after the other, later and later ones. */
export class Cutter {
  readonly #scratch: Scratch
  readonly #process: ReturnType<typeof start>

  private constructor(scratch: Scratch, process: ReturnType<typeof start>) {
    this.#scratch = scratch
    this.#process = process
  }

  static async begin(scratch: Scratch): Promise<Cutter> {
    return new Cutter(scratch, start(await recordingDisk(), ['cut', String(sizeBytes), scratch.log]))
  }

  /** Mounts the file system as it was after so many entries. Answers, in words, what became of the last ones. */
  async mount({ position, keep, seed }: { position: number; keep: Keep; seed: number }): Promise<string> {
    const { fuse, disk, mount } = this.#scratch
    this.#process.write(`${position} ${keep} ${seed} ${fuse}\n`)
    const words = await this.#process.says('after the last flush')
    await this.#process.says('ready')
    await tool('mount', ['-o', 'loop', disk, mount])
    return words
  }

  /** And forgets what was written since. */
  async unmount(): Promise<void> {
    await unmounted(this.#scratch.mount)
    await unmounted(this.#scratch.fuse)
  }

  async end(): Promise<void> {
    this.#process.endInput()
    await this.#process.ended
  }
}

/** The program, line by line. It dies with this process: its input ends. */
function start(file: string, args: string[]) {
  const child = execa(file, args, { stdin: 'pipe', buffer: { stdout: false }, reject: false })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    write: (line: string) => void child.stdin.write(line),
    endInput: () => void child.stdin.end(),
    /** The next line, which must begin so. */
    async says(beginning: string): Promise<string> {
      const { done, value } = await lines.next()
      if (done || !value.startsWith(beginning))
        throw new Error(`the disk said ${value}: ${done ? (await child).stderr : ''}`)
      return value
    },
    ended: child.then(({ exitCode, stderr }) => {
      if (exitCode !== 0) throw new Error(`the disk ended with ${exitCode}: ${stderr}`)
    }),
  }
}

/** The kernel lets go of a loop device, and of what is below, a moment after what used it ended. */
async function unmounted(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { exitCode, stderr } = await execa('umount', [path], { reject: false })
    if (exitCode === 0 || /not mounted/.test(stderr)) return
    if (tries === 200) throw new Error(`umount ${path}: ${stderr}`)
    await sleep(25)
  }
}

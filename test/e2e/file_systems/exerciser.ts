// exerciser.ts: file_exerciser.cc on the host and in a guest: several files at once, each with a model of what it must hold.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { compiled } from '../../../testkit/compiled.js'
import type { Machine } from '../../../testkit/guest/machine.js'
import { tool } from '../../../testkit/nbd_tools.js'

/** Operations of the files' random changes that the exerciser tells between two "done". */
const operationsBetweenReports = 50

interface Exercise {
  /** Decides everything, with the number of the file. */
  seed: number
  /** Of each file, at least so many operations, in whole reports. */
  operations: number
  /** Where the files are: a folder of the file system that is tried. */
  dir: string
  /** Where the models are, and what the exercisers say: a folder of another one. */
  notes: string
}

/** One small file, whose blocks are met again and again, and one with many extents. */
const filesBytesMax = [256 << 10, 6 << 20]

/** Where it runs: shell lines go in, one at a time, what they print comes out; rejects when they fail. */
type Shell = (line: string, limitMs?: number) => Promise<string>

const limitMs = 1_800_000

export const exerciserProgram = () => compiled(new URL('file_exerciser.cc', import.meta.url), ['-static'])

export class Exercisers {
  readonly #shell: Shell
  readonly #exercise: Exercise
  readonly #program: string

  private constructor(shell: Shell, program: string, exercise: Exercise) {
    this.#shell = shell
    this.#program = program
    this.#exercise = exercise
  }

  static async onHost(exercise: Exercise): Promise<Exercisers> {
    const shell: Shell = (line, limit) => hostShell(line, limit)
    return new Exercisers(shell, await exerciserProgram(), exercise).#start()
  }

  /** The program is in the guest's /bin. */
  static async inGuest(guest: Machine, exercise: Exercise): Promise<Exercisers> {
    return new Exercisers((line, limit) => guest.run(line, limit), 'file_exerciser', exercise).#start()
  }

  async #start(): Promise<this> {
    const { seed, operations, notes } = this.#exercise
    await this.#shell(`mkdir -p ${notes}`)
    for (const [index, bytesMax] of filesBytesMax.entries()) {
      const { file, model, log, status } = this.#paths(index)
      const command = `${this.#program} ${seed + index} ${operations} ${bytesMax} ${file} ${model}`
      await this.#shell(
        `(${command} >${log} 2>&1; echo $? >${status}.new; mv ${status}.new ${status}) >/dev/null 2>&1 &`,
      )
    }
    return this
  }

  /** Resolves when each file has had so many operations, with whether all are still at work. Rejects when something is wrong. */
  async reach(operations: number): Promise<boolean> {
    const reports = Math.floor(operations / operationsBetweenReports)
    let running = true
    for (const index of filesBytesMax.keys()) {
      const { log, status } = this.#paths(index)
      const enough = `test $(grep -c ^done ${log}) -ge ${reports}`
      await this.#shell(`until ${enough} || test -e ${status}; do sleep 0.1; done`, limitMs)
      const ended = (await this.#shell(`cat ${status} 2>/dev/null || true`)).trim()
      if (ended !== '') {
        if (ended !== '0') throw new Error(`the exerciser of ${await this.#tale(index)}`)
        running = false
      }
    }
    return running
  }

  /** Resolves when all have ended, with what each says it has done. */
  async end(): Promise<string[]> {
    for (const index of filesBytesMax.keys()) {
      const { status } = this.#paths(index)
      await this.#shell(`until test -e ${status}; do sleep 0.1; done`, limitMs)
    }
    await this.reach(this.#exercise.operations)
    const ends: string[] = []
    for (const index of filesBytesMax.keys()) ends.push(await this.#shell(`tail -n 1 ${this.#paths(index).log}`))
    return ends.map((line) => line.trim())
  }

  /** Rejects unless every file holds what its model does. For after an unmount and a mount. */
  async compare(): Promise<void> {
    for (const index of filesBytesMax.keys()) {
      const { file, model } = this.#paths(index)
      await this.#shell(`cmp ${file} ${model}`)
    }
  }

  #paths(index: number) {
    const { dir, notes } = this.#exercise
    const note = join(notes, String(index))
    return { file: join(dir, `file-${index}`), model: `${note}.model`, log: `${note}.log`, status: `${note}.status` }
  }

  async #tale(index: number): Promise<string> {
    const { file, log, status } = this.#paths(index)
    const lines = await this.#shell(`echo status $(cat ${status}); grep -v ^done ${log}`)
    return `${file} (seed ${this.#exercise.seed + index}): ${lines}`
  }
}

async function hostShell(line: string, limit = 60_000): Promise<string> {
  const { exitCode, stdout, stderr } = await execa('sh', ['-c', line], { reject: false, timeout: limit })
  if (exitCode !== 0) throw new Error(`${line}: status ${exitCode}\n${stdout}\n${stderr}`)
  return stdout
}

/** A file system as the kernel knows it, with its tools. */
export interface FileSystem {
  name: 'ext4' | 'xfs'
  make: string[]
  /** Changes nothing; its status is 0 only when all is well. */
  check: string[]
  mountOptions: string
}

// Discards: what the files give back reaches the server as TRIM. A clone has the file system's own id, which xfs
// mounts but once.
export const fileSystems: FileSystem[] = [
  { name: 'ext4', make: ['mkfs.ext4', '-q'], check: ['e2fsck', '-fn'], mountOptions: 'discard' },
  { name: 'xfs', make: ['mkfs.xfs', '-q'], check: ['xfs_repair', '-n'], mountOptions: 'discard,nouuid' },
]

export async function makeFileSystem({ make: [program = '', ...options] }: FileSystem, device: string): Promise<void> {
  await tool(program, [...options, device])
}

export async function mounted<T>(
  { name, mountOptions }: FileSystem,
  device: string,
  at: string,
  use: () => Promise<T>,
): Promise<T> {
  await tool('mkdir', ['-p', at])
  await tool('mount', ['-t', name, '-o', mountOptions, device, at])
  try {
    return await use()
  } finally {
    await unmount(at)
  }
}

/** Something of the machine may look into a new mount for a moment. */
async function unmount(at: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { exitCode, stderr } = await execa('umount', [at], { reject: false })
    if (exitCode === 0) return
    if (tries === 50) throw new Error(stderr)
    await sleep(100)
  }
}

/** Rejects when the file system on the device, which is not mounted, is damaged or its journal is not empty. */
export async function checkFileSystem(
  { check: [program = '', ...options] }: FileSystem,
  device: string,
): Promise<void> {
  await tool(program, [...options, device])
}

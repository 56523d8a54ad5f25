// full_disk.ts: a server with everything on one small file system, which is filled up and emptied again.
//
// What the server answered is noted down, and looked at afterwards: an object that was stored and not deleted has its bytes, one
// that was deleted is gone.

import { createHash } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KiB, MiB } from '../src/lib/units.js'
import { Api } from './api.js'
import { nbdsh } from './nbd_tools.js'
import { pseudorandom } from './pseudorandom.js'
import type { ServerProcess } from './server_process.js'

export const ways = ['uploads', 'NBD writes', 'a foreign file'] as const
export type Way = (typeof ways)[number]

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export class FullDisk {
  readonly server: ServerProcess
  readonly #foreignPath: string
  readonly #seed: string
  /** Digests by name. */
  readonly #stored = new Map<string, string>()
  readonly #deleted = new Set<string>()
  #api: Api | undefined
  #made = 0
  #kept = ''
  #greedy = ''
  #keptAttachment = ''
  #greedyAttachment = ''
  #greedyUri = ''

  /** `mount`: where the small file system is mounted, for the foreign file. */
  constructor(server: ServerProcess, mount: string, seed: string) {
    this.server = server
    this.#foreignPath = join(mount, 'foreign')
    this.#seed = seed
  }

  get api(): Api {
    if (this.#api === undefined) throw new Error('nobody has logged in yet')
    return this.#api
  }

  get storedCount(): number {
    return this.#stored.size
  }

  /** A new login, as every client makes one after a restart. */
  async login(): Promise<void> {
    this.#api = await Api.login(await this.server.environment())
  }

  /** A volume with 8 MiB, another one to fill the disk with, and a few objects. */
  async prepare(): Promise<void> {
    await this.login()
    const { api } = this
    this.#kept = await api.createVolume({ name: 'kept' })
    this.#greedy = await api.createVolume({ name: 'greedy', size: 2 })
    await api.expect(201, 'PUT', api.object('c'))
    for (const size of [100, 16 * KiB, 100 * KiB, 5 * MiB]) {
      if ((await this.put(size)) !== 201) throw new Error('the disk is full before the test begins')
    }
    const { uri, id } = await api.attach(this.#kept)
    this.#keptAttachment = id
    const greedy = await api.attach(this.#greedy)
    this.#greedyAttachment = greedy.id
    this.#greedyUri = greedy.uri
    await nbdsh(uri, `for i in range(8): h.pwrite(bytes([65 + i]) * (1 << 20), i << 20)\nh.flush()`)
  }

  /** The status. What was answered with 201 counts as stored. */
  async put(sizeBytes: number): Promise<number> {
    const name = `o-${this.#made++}`
    const bytes = Buffer.concat(
      [...pseudorandom(`${this.#seed} ${name}`, sizeBytes)].map((piece) => Buffer.from(piece)),
    )
    const { status } = await this.api.call('PUT', this.api.object(`c/${name}`), { body: bytes })
    if (status === 201) this.#stored.set(name, digestOf(bytes))
    return status
  }

  /** Until nothing more is accepted, in the given way and then by small uploads. Returns the statuses of refused uploads. */
  async fill(way: Way): Promise<Set<number>> {
    const refusals = new Set<number>()
    if (way === 'a foreign file') await this.fillByForeignFile()
    if (way === 'NBD writes') await this.#fillByWrites()
    if (way === 'uploads') for (const size of [4 * MiB, MiB, 200 * KiB]) await this.#putUntilRefused(size, refusals)
    for (const size of [20 * KiB, 10 * KiB, 100]) await this.#putUntilRefused(size, refusals)
    return refusals
  }

  /** Up to the last block that the file system gives to anybody. */
  async fillByForeignFile(): Promise<void> {
    const file = await open(this.#foreignPath, 'a')
    try {
      for (let size = MiB; size >= 4 * KiB; size = size === MiB ? 64 * KiB : size === 64 * KiB ? 4 * KiB : 0) {
        const bytes = Buffer.alloc(size, 'foreign')
        for (;;) {
          try {
            // Less than all of it: the next write reports that the disk is full.
            await file.write(bytes)
            await file.sync()
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
            break
          }
        }
      }
    } finally {
      await file.close()
    }
  }

  async removeForeignFile(): Promise<void> {
    await rm(this.#foreignPath, { force: true })
  }

  async #fillByWrites(): Promise<void> {
    await nbdsh(
      this.#greedyUri,
      `
def fill(size, at):
    while at + size <= 2 << 30:
        try:
            h.pwrite(b'w' * size, at)
            h.flush()
        except nbd.Error as answer:
            assert answer.errnum == errno.ENOSPC, answer
            return at
        at += size
    raise SystemExit('the disk did not run full')
try:
    h.zero(1 << 30, 0, nbd.CMD_FLAG_NO_HOLE)
except nbd.Error as answer:
    assert answer.errnum == errno.ENOSPC, answer
at = 0
for size in (1 << 20, 64 << 10, 4 << 10):
    at = fill(size, at)`,
    )
  }

  async #putUntilRefused(sizeBytes: number, refusals: Set<number>): Promise<void> {
    for (;;) {
      const status = await this.put(sizeBytes)
      if (status === 201) continue
      refusals.add(status)
      return
    }
  }

  async detachKept(): Promise<void> {
    await this.api.detach(this.#keptAttachment)
  }

  /** Deletes every n-th object. Returns the statuses. */
  async deleteEvery(n: number): Promise<Set<number>> {
    const statuses = new Set<number>()
    for (const [index, name] of [...this.#stored.keys()].entries()) {
      if (index % n !== 0) continue
      const { status } = await this.api.call('DELETE', this.api.object(`c/${name}`))
      statuses.add(status)
      if (status === 204) {
        this.#stored.delete(name)
        this.#deleted.add(name)
      }
    }
    return statuses
  }

  async deleteGreedy(): Promise<void> {
    await this.api.detach(this.#greedyAttachment)
    await this.api.delete('volumes', this.#greedy)
  }

  /** What is not as it was answered. */
  async damage(): Promise<string[]> {
    const wrong: string[] = []
    for (const [name, digest] of this.#stored) {
      const answer = await this.api.call('GET', this.api.object(`c/${name}`))
      const found = digestOf(Buffer.from(await answer.arrayBuffer()))
      if (answer.status !== 200 || found !== digest) wrong.push(`${name}: ${answer.status}`)
    }
    for (const name of this.#deleted) {
      const { status } = await this.api.call('HEAD', this.api.object(`c/${name}`))
      if (status !== 404) wrong.push(`${name}: ${status} after its deletion`)
    }
    await nbdsh(
      this.server.operatorUri(this.#kept),
      `for i in range(8): assert h.pread(1 << 20, i << 20) == bytes([65 + i]) * (1 << 20), i`,
    ).catch((error: Error) => wrong.push(`the volume: ${error.message}`))
    return wrong
  }

  /** Space comes back in the background: tries for 30 s. */
  async putEventually(sizeBytes: number): Promise<number> {
    let status = await this.put(sizeBytes)
    for (let tries = 0; tries < 120 && status !== 201; tries++) {
      await sleep(250)
      status = await this.put(sizeBytes)
    }
    return status
  }
}

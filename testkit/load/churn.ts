// churn.ts: API calls that keep a server busy until it dies: uploads, snapshots, clones, and deletions of all of them.
//
// After the restart `settle` says whether everything that was answered is so, and that no half of an upload is visible. `judge`
// says it of a power cut, for any position of a recording disk (see power/).

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../../src/lib/units.js'
import type { Api } from '../api.js'
import { pseudorandom } from '../pseudorandom.js'
import { Ledger } from './ledger.js'

const container = 'churn'
const keptObjects = 5
const keptSnapshots = 4
const keptClones = 3

export interface ChurnOptions {
  /** The volume that is snapshotted and never deleted. */
  volumeId: string
  /** Of the recording disk. */
  position?: () => number
  /** Called for each snapshot as soon as it was answered. */
  onSnapshot?: (snapshot: { id: string; name: string }) => Promise<void>
}

interface Ledgers {
  objects: Ledger
  snapshots: Ledger
  clones: Ledger
}

export class Churn {
  /** Of the server that runs now: each restart has its own tokens. */
  #api!: Api
  readonly #volumeId: string
  readonly #onSnapshot: ChurnOptions['onSnapshot']
  readonly #ledgers: Ledgers
  #number = 0
  /** How many steps were done: an object, or a snapshot with a clone. */
  answered = 0

  constructor({ volumeId, position, onSnapshot }: ChurnOptions) {
    this.#volumeId = volumeId
    this.#onSnapshot = onSnapshot
    const ledger = (what: string) => new Ledger(what, position)
    this.#ledgers = { objects: ledger('object'), snapshots: ledger('snapshot'), clones: ledger('clone') }
  }

  /** Makes what its steps need; also right when it is there. */
  async prepare(api: Api): Promise<void> {
    // 201 the first time, 202 from then on.
    const made = await api.call('PUT', api.object(container))
    if (!made.ok) throw new Error(`PUT of the container: ${made.status}`)
  }

  /** Resolves when the server is gone. Rejects when it answers something unexpected. */
  async untilTheServerDies(api: Api): Promise<void> {
    this.#api = api
    await this.prepare(api)
    await Promise.all([this.#repeat(() => this.#object()), this.#repeat(() => this.#history()), this.#endlessUpload()])
  }

  /** Resolves when so many steps are done, in all, or the time is up. */
  async reaches(count: number, limitMs: number): Promise<void> {
    const end = performance.now() + limitMs
    while (this.answered < count && performance.now() < end) await sleep(5)
  }

  /** After a restart. Answers what is wrong, in words. */
  async settle(api: Api): Promise<string[]> {
    return this.#compare(api, this.#ledgers)
  }

  /** After a power cut at this position of the recording disk, which comes after `prepare`. Answers what is wrong, in words. */
  async judge(api: Api, position: number): Promise<string[]> {
    const { objects, snapshots, clones } = this.#ledgers
    const then = { objects: objects.at(position), snapshots: snapshots.at(position), clones: clones.at(position) }
    return this.#compare(api, then)
  }

  async #compare(api: Api, ledgers: Ledgers): Promise<string[]> {
    const objects = await api.objects(container)
    const clones = (await api.list('volumes')).filter(({ id }) => id !== this.#volumeId)
    const wrong = [
      ...ledgers.objects.settle(objects),
      ...ledgers.snapshots.settle((await api.list('snapshots')).map(({ name }) => name)),
      ...ledgers.clones.settle(clones.map(({ name }) => name)),
    ]
    for (const name of objects) {
      const answer = await api.expect(200, 'GET', api.object(`${container}/${name}`))
      const found = md5(Buffer.from(await answer.arrayBuffer()))
      if (found !== md5(bytesOf(name))) wrong.push(`object ${name} has other bytes than were uploaded`)
    }
    return wrong
  }

  /** The volume too. */
  async deleteAll(api: Api): Promise<void> {
    this.#api = api
    for (const name of await this.#api.objects(container)) await this.#deleteObject(name)
    await this.#api.expect(204, 'DELETE', this.#api.object(container))
    for (const { id } of await this.#api.list('snapshots')) await this.#api.delete('snapshots', id)
    for (const { id } of await this.#api.list('volumes')) await this.#api.delete('volumes', id)
  }

  async #repeat(step: () => Promise<void>): Promise<void> {
    try {
      for (;;) {
        await step()
        this.answered++
      }
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  async #object(): Promise<void> {
    const name = this.#name('o')
    const body = bytesOf(name)
    await this.#ledgers.objects.changes(name, 'present', () =>
      this.#api.expect(201, 'PUT', this.#api.object(`${container}/${name}`), { body }),
    )
    for (const oldest of this.#ledgers.objects.present.slice(0, -keptObjects)) await this.#deleteObject(oldest)
  }

  async #deleteObject(name: string): Promise<void> {
    await this.#ledgers.objects.changes(name, 'absent', () =>
      this.#api.expect(204, 'DELETE', this.#api.object(`${container}/${name}`)),
    )
  }

  /** A snapshot, a clone of it, and the end of older ones: their layers are merged while the volume is written to. */
  async #history(): Promise<void> {
    const name = this.#name('s')
    const volume = { volumeId: this.#volumeId, name }
    const snapshot = await this.#ledgers.snapshots.changes(name, 'present', () => this.#api.createSnapshot(volume))
    await this.#onSnapshot?.({ id: snapshot, name })
    const clone = this.#name('c')
    await this.#ledgers.clones.changes(clone, 'present', () =>
      this.#api.createVolume({ name: clone, snapshot_id: snapshot }),
    )
    await this.#deleteOldest('snapshots', { ledger: this.#ledgers.snapshots, kept: keptSnapshots })
    await this.#deleteOldest('volumes', { ledger: this.#ledgers.clones, kept: keptClones })
  }

  async #deleteOldest(
    kind: 'snapshots' | 'volumes',
    { ledger, kept }: { ledger: Ledger; kept: number },
  ): Promise<void> {
    for (const name of ledger.present.slice(0, -kept)) {
      const found = (await this.#api.list(kind)).find((each) => each.name === name)
      if (!found) throw new Error(`${kind} ${name} is not listed`)
      await ledger.changes(name, 'absent', () => this.#api.delete(kind, found.id))
    }
  }

  /** Its ledger never hears of it: were it visible after the restart, it would be one that was never made. */
  async #endlessUpload(): Promise<void> {
    const source = Readable.from(endless())
    const upload = { body: Readable.toWeb(source) as ReadableStream, duplex: 'half' as const }
    try {
      const { status } = await this.#api.call('PUT', this.#api.object(`${container}/${this.#name('endless')}`), upload)
      throw new Error(`an upload without an end was answered: ${status}`)
    } catch (error) {
      if (!isGone(error)) throw error
    } finally {
      source.destroy() // fetch goes on reading it otherwise
    }
  }

  #name(prefix: string): string {
    this.#number++
    return `${prefix}-${this.#number}`
  }
}

/** 10 MiB a second. */
async function* endless(): AsyncGenerator<Buffer> {
  for (const piece of pseudorandom(String(Math.random()), Number.MAX_SAFE_INTEGER)) {
    yield piece
    await sleep(100)
  }
}

/** Each object's bytes follow from its name: of any length up to 9 MiB. */
function bytesOf(name: string): Buffer {
  const length = createHash('sha256').update(name).digest().readUInt32LE() % (9 * MiB)
  return Buffer.concat([...pseudorandom(name, length)].map((piece) => Buffer.from(piece)))
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** Did fetch lose the server? It says "fetch failed" or "terminated", with the system's error as the cause. */
function isGone(error: unknown): boolean {
  return error instanceof TypeError && /fetch failed|terminated|other side closed/.test(error.message)
}

// Backup of the whole store while it serves, by snapshots of its file systems in the order that docs/guide/backup.md gives. What is restored
// starts without help and has everything that was answered before the snapshot: volumes under NBD writes, uploads, snapshots, clones.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import { GiB } from '../../src/lib/units.js'
import { Churn } from '../../testkit/load/churn.js'
import { Writer } from '../../testkit/load/writer.js'
import { Api } from '../../testkit/api.js'
import { nbdsh, tool } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'

const seed = process.env.ATOLL_SEED ?? randomBytes(4).toString('hex')

t.setTimeout(1_800_000)

type FileSystem = 'ext4' | 'xfs' | 'btrfs'

/** A file system of its own in a file, of which copies can be mounted in its place. */
class Disk {
  readonly mount: string
  readonly #file: string

  constructor(
    readonly dir: string,
    readonly name: string,
  ) {
    this.#file = join(dir, name)
    this.mount = join(dir, `${name}-mount`)
  }

  async make(fileSystem: FileSystem, at = this.mount): Promise<void> {
    await mkdir(at, { recursive: true })
    await writeFile(this.#file, '')
    await truncate(this.#file, GiB)
    await tool(`mkfs.${fileSystem}`, ['-q', ...(fileSystem === 'ext4' ? ['-F'] : ['-f']), this.#file])
    await this.attach(at)
  }

  attach = (at = this.mount, copy = '') => tool('mount', ['-o', 'loop', `${this.#file}${copy}`, at])
  detach = (at = this.mount) => unmounted(at)
  copy = () => tool('cp', ['--sparse=always', this.#file, `${this.#file}.copy`])
}

async function unmounted(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { exitCode, stderr } = await execa('umount', [path], { reject: false })
    if (exitCode === 0 || /not mounted|no mount point/.test(stderr)) return
    if (tries === 100) throw new Error(`umount ${path}: ${stderr}`)
    await sleep(50)
  }
}

/** What the load knows of the time: writes and answers are noted with this number (testkit/load/history.py, ledger.ts). */
class Moment {
  #now = 0n
  readonly #file: string
  constructor(dir: string) {
    this.#file = join(dir, 'moment')
  }
  get file(): string {
    return this.#file
  }
  now = () => Number(this.#now)
  /** In place: the writer has the file mapped. */
  next(): void {
    this.#now += 1n
    writeFileSync(this.#file, Buffer.from(new BigUint64Array([this.#now]).buffer), {
      flag: this.#now === 1n ? 'w' : 'r+',
    })
  }
}

interface Layout {
  name: string
  fileSystem: FileSystem
  /** Directories that are file systems of their own, in the order in which they are frozen; '' is the data directory. */
  mounts: string[]
}

const layouts: Layout[] = [
  ...(['ext4', 'xfs', 'btrfs'] as const).map((fileSystem) => ({ name: `one ${fileSystem}`, fileSystem, mounts: [''] })),
  { name: 'three file systems', fileSystem: 'ext4', mounts: ['', 'store/records', 'store/data'] },
]

for (const { name, fileSystem, mounts } of layouts) {
  t.test(`a snapshot of ${name} under load is restored with everything that was answered (seed ${seed})`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'atoll-snapshot-'))
    const base = join(dir, 'data')
    const disks = mounts.map((_, n) => new Disk(dir, `disk-${n}`))
    const places = mounts.map((mount) => join(base, mount))
    const each = async (work: (disk: Disk, place: string) => Promise<unknown>, order = disks) => {
      for (const disk of order) await work(disk, places[disks.indexOf(disk)] as string)
    }
    t.teardown(async () => {
      for (const place of [...places].reverse()) {
        await execa('fsfreeze', ['-u', place], { reject: false })
        await unmounted(place)
      }
      await rm(dir, { recursive: true, force: true })
    })
    const [first, ...others] = disks
    await (first as Disk).make(fileSystem, base)
    await rm(join(base, 'lost+found'), { recursive: true, force: true })
    const moment = new Moment(dir)
    moment.next()
    const server = await startServerProcess(t, { dataDir: base })
    if (others.length > 0) {
      await server.stop()
      await each(async (disk, place) => {
        await disk.make(fileSystem)
        await tool('cp', ['-a', `${place}/.`, disk.mount])
        await disk.detach()
        await rm(place, { recursive: true })
        await mkdir(place)
        await disk.attach(place)
      }, others)
      await server.start()
    }
    const api = await Api.login(await server.environment())
    const volumeId = await api.createVolume({ name: 'under load' })
    const uri = server.operatorUri(volumeId)
    const writer = new Writer({ sizeBytes: GiB, seed, places: 160, positionFile: moment.file })
    t.teardown(() => writer.end())
    const churn = new Churn({ volumeId, position: moment.now })
    await churn.prepare(api)
    const load = await writer.load(uri, 600)
    const churned = churn.untilTheServerDies(await Api.login(await server.environment()))
    await Promise.race([churn.reaches(12, 30_000), churned])

    const taken = moment.now()
    await each((_, place) => tool('fsfreeze', ['-f', place]))
    moment.next()
    await each((disk) => disk.copy())
    await each((_, place) => tool('fsfreeze', ['-u', place]), [...disks].reverse())
    // The server goes on, and what it does from now on is not in the copies.
    await Promise.race([churn.reaches(churn.answered + 4, 30_000), churned])
    await server.kill()
    const { failed, answered, flushes } = await load.ended
    await churned
    t.strictSame(failed, [], 'the freeze failed no write')
    t.ok(
      answered > 0 && flushes > 0 && churn.answered >= 12,
      `${answered} writes, ${flushes} flushes, ${churn.answered} steps`,
    )

    await each((disk, place) => disk.detach(place), [...disks].reverse())
    await each((disk, place) => disk.attach(place, '.copy'))
    const before = await server.check()
    t.equal(before.exitCode, 0, before.all)
    await server.start()
    const verdict = await writer.verifyAt(taken, uri)
    t.ok(verdict.sectors > 0)
    t.equal(verdict.badCount, 0, verdict.bad.join('\n'))
    t.strictSame(await churn.judge(await Api.login(await server.environment()), taken), [])
    await server.stop()
    const after = await server.check()
    t.equal(after.exitCode, 0, after.all)

    if (mounts.length > 1) {
      // One of them from the restored store, which has been started since; the rest from the other.
      await each((disk, place) => disk.detach(place), [...disks].reverse())
      await each((disk, place) => disk.attach(place, disk === disks[1] ? '.copy' : ''))
      await t.rejects(server.start(), /store\/records has generation \d+, the catalog \d+/)
    }
  })
}

t.test('a btrfs snapshot beside the store it is of, taken under load, is served on its own', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-subvolume-'))
  const disk = new Disk(dir, 'disk')
  t.teardown(async () => {
    await unmounted(disk.mount)
    await rm(dir, { recursive: true, force: true })
  })
  await disk.make('btrfs')
  const live = join(disk.mount, 'live')
  const copy = join(disk.mount, 'copy')
  await tool('btrfs', ['subvolume', 'create', live])
  const server = await startServerProcess(t, { dataDir: live })
  const api = await Api.login(await server.environment())
  const quiet = await api.createVolume({ name: 'quiet' })
  const busy = await api.createVolume({ name: 'busy' })
  await nbdsh(server.operatorUri(quiet), `h.pwrite(b'q' * (8 << 20), 0)\nh.flush()`)
  const writer = new Writer({ sizeBytes: GiB, seed, places: 160 })
  t.teardown(() => writer.end())
  const churn = new Churn({ volumeId: busy })
  await churn.prepare(api)
  const load = await writer.load(server.operatorUri(busy), 600)
  const churned = churn.untilTheServerDies(await Api.login(await server.environment()))
  await Promise.race([churn.reaches(8, 30_000), churned])

  await tool('btrfs', ['subvolume', 'snapshot', live, copy])
  const beside = await startServerProcess(t, { dataDir: copy })
  await nbdsh(beside.operatorUri(quiet), `assert h.pread(8 << 20, 0) == b'q' * (8 << 20)`)
  await beside.stop()
  const { exitCode, all } = await beside.check()
  t.equal(exitCode, 0, all)

  await server.kill()
  await load.ended
  await churned
  await server.start()
  const verdict = await writer.verify(server.operatorUri(busy))
  t.equal(verdict.badCount, 0, verdict.bad.join('\n'))
})

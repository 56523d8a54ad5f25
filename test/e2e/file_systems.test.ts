// ext4 and xfs on volumes, under a load in the manner of fsx (file_systems/file_exerciser.cc): by nbdfuse and a loop device of this
// host, and in guests whose server is killed meanwhile: by the kernel's own NBD client, and by the newest QEMU's. Snapshots are
// taken under the load.
//
// ATOLL_FS_OPERATIONS: how many on each file (5000; in the guest a tenth of it); ATOLL_SEED: what they are.
//
// Runs alone: the server is killed while its guests are in the middle of what they do.

import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { Api } from '../../testkit/api.js'
import { bootDisk } from '../../testkit/guest/boot_disk.js'
import { Machine } from '../../testkit/guest/machine.js'
import { bootNbdGuest, guestUri } from '../../testkit/guest/nbd_guest.js'
import { withLoopDevice } from '../../testkit/loop_device.js'
import { newestClients, tool } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'
import {
  checkFileSystem,
  Exercisers,
  exerciserProgram,
  type FileSystem,
  fileSystems,
  makeFileSystem,
  mounted,
} from './file_systems/exerciser.js'

t.setTimeout(3_600_000)

const asked = process.env['ATOLL_FS_OPERATIONS'] || undefined
const seed = Number.parseInt(process.env['ATOLL_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31)), 10)
const snapshotsEach = 3

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const mountPoint = join(server.scratchDir, 'mnt')

t.test('the exerciser finds bytes that change behind its back', async (t) => {
  const file = join(server.scratchDir, 'file')
  const program = execa(await exerciserProgram(), ['1', '1000000', '1000000', file, '/dev/null'], { reject: false })
  const intruder = ['if=/dev/zero', `of=${file}`, 'bs=100k', 'count=1', 'seek=1', 'conv=notrunc', 'status=none']
  while (program.exitCode === null) await tool('dd', intruder)
  const { exitCode, stdout } = await program
  t.equal(exitCode, 1)
  t.match(stdout, /bytes are wrong between|the file has \d+ bytes/)
})

for (const fileSystem of fileSystems) {
  const operations = Number(asked ?? 5000)
  t.test(`${fileSystem.name} on a loop device: ${operations} operations on each file (seed ${seed})`, async (t) => {
    const volume = await api.createVolume({})
    const snapshots: string[] = []
    await withLoopDevice((await api.attach(volume)).uri, async (device) => {
      await makeFileSystem(fileSystem, device)
      const notes = join(server.scratchDir, fileSystem.name)
      const exercisers = await mounted(fileSystem, device, mountPoint, async () => {
        const exercisers = await Exercisers.onHost({ seed, operations, dir: mountPoint, notes })
        for (let i = 1; i <= snapshotsEach; i++) {
          t.ok(await exercisers.reach((operations * i) / (snapshotsEach + 1)), 'all are still at work')
          snapshots.push(await api.createSnapshot({ volumeId: volume }))
        }
        for (const done of await exercisers.end()) t.comment(done)
        return exercisers
      })
      await checkFileSystem(fileSystem, device)
      await mounted(fileSystem, device, mountPoint, () => exercisers.compare())
    })
    for (const snapshot of snapshots) await checkSnapshot(fileSystem, snapshot)
    t.equal(snapshots.length, snapshotsEach, 'snapshots under load, each a sound file system')
  })
}

// A guest takes ten times as long.
const inGuest = asked ? Math.ceil(Number(asked) / 10) : 400
t.test(
  `ext4 and xfs in a guest whose server is killed: ${inGuest} operations on each file (seed ${seed})`,
  async (t) => {
    const operations = inGuest
    const disks = await Promise.all(
      fileSystems.map(async (fileSystem, index) => {
        const volume = await api.createVolume({})
        await withLoopDevice(server.operatorUri(volume), (device) => makeFileSystem(fileSystem, device))
        return { fileSystem, volume, device: `/dev/nbd${index}`, mountPoint: `/mnt/${fileSystem.name}` }
      }),
    )
    const guest = await bootNbdGuest({ programs: [await exerciserProgram()], extraModules: ['xfs'] })
    const snapshots: [FileSystem, string][] = []
    try {
      const mount = async ({ fileSystem: { name, mountOptions }, device, mountPoint }: (typeof disks)[number]) =>
        guest.run(`mkdir -p ${mountPoint} && mount -t ${name} -o ${mountOptions} ${device} ${mountPoint}`)
      const loads: Exercisers[] = []
      for (const disk of disks) {
        const uri = guestUri((await api.attach(disk.volume)).uri)
        await guest.run(`atoll-attach --connections 2 --timeout 3 --dead-timeout 300 ${uri} ${disk.device}`)
        await mount(disk)
      }
      // Together: the first must not be through before the last has begun.
      for (const { mountPoint, fileSystem } of disks) {
        const exercise = { seed, operations, dir: mountPoint, notes: `/tmp/${fileSystem.name}` }
        loads.push(await Exercisers.inGuest(guest, exercise))
      }
      snapshots.push(...(await snapshotsAndKills(t, operations, loads, disks)))
      for (const load of loads) for (const done of await load.end()) t.comment(done)
      for (const disk of disks) {
        await guest.run(`umount ${disk.mountPoint}`, 180_000)
        await mount(disk)
      }
      for (const load of loads) await load.compare()
      for (const { device, mountPoint } of disks)
        await guest.run(`umount ${mountPoint} && atoll-attach --detach ${device}`, 180_000)
      t.notMatch(guest.console, /I\/O error|EXT4-fs error|XFS \(\w+\): .*(error|corrupt|shut ?down)/i)
      await guest.powerOff()
    } finally {
      await guest.kill()
    }
    for (const { fileSystem, volume } of disks)
      await withLoopDevice(server.operatorUri(volume), (device) => checkFileSystem(fileSystem, device))
    for (const [fileSystem, snapshot] of snapshots) await checkSnapshot(fileSystem, snapshot)
    t.equal(snapshots.length, snapshotsEach * disks.length, 'snapshots under load, each a sound file system')
  },
)

t.test(
  `${newestClients.name}: a guest that boots from a volume exercises ext4 on another whose server is killed: ${inGuest} operations on each file (seed ${seed})`,
  async (t) => {
    const [fileSystem] = fileSystems
    if (fileSystem?.name !== 'ext4') throw new Error('the first file system is not ext4')
    const [root, volume] = await Promise.all([api.createVolume({}), api.createVolume({})])
    await newestClients.run('nbdcopy', ['--flush', await bootDisk(), server.operatorUri(root)])
    await withLoopDevice(server.operatorUri(volume), async (device) => {
      await makeFileSystem(fileSystem, device)
      // The guest boots from a disk that has nothing but busybox.
      const program = await exerciserProgram()
      await mounted(fileSystem, device, mountPoint, () => tool('cp', [program, mountPoint]))
    })
    const disks = await Promise.all([root, volume].map(async (id) => (await api.attach(id)).uri))
    const guest = await Machine.boot({ clients: newestClients, disks, reconnectSeconds: 300 })
    const mount = 'mount -t ext4 -o discard /dev/vdb /mnt'
    let snapshots: [FileSystem, string][] = []
    try {
      await guest.run(`mount -t tmpfs tmpfs /tmp && ${mount} && cp /mnt/file_exerciser /bin`)
      const operations = inGuest
      const load = await Exercisers.inGuest(guest, { seed, operations, dir: '/mnt', notes: '/tmp/notes' })
      snapshots = await snapshotsAndKills(t, operations, [load], [{ fileSystem, volume }])
      for (const done of await load.end()) t.comment(done)
      await guest.run(`umount /mnt && ${mount}`, 180_000)
      await load.compare()
      await guest.run('umount /mnt', 180_000)
      t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)
      await guest.powerOff()
    } finally {
      await guest.kill()
    }
    await withLoopDevice(server.operatorUri(volume), (device) => checkFileSystem(fileSystem, device))
    for (const [, snapshot] of snapshots) await checkSnapshot(fileSystem, snapshot)
  },
)

interface LoadedVolume {
  fileSystem: FileSystem
  volume: string
}

/** Takes a snapshot of each volume, kills the server and starts it again, at equal steps of the loads. */
async function snapshotsAndKills(
  t: Test,
  operations: number,
  loads: Exercisers[],
  volumes: LoadedVolume[],
): Promise<[FileSystem, string][]> {
  const snapshots: [FileSystem, string][] = []
  let interrupted = 0
  for (let i = 1; i <= snapshotsEach; i++) {
    let running = true
    for (const load of loads) running = (await load.reach((operations * i) / (snapshotsEach + 1))) && running
    if (running) interrupted++
    for (const { fileSystem, volume } of volumes)
      snapshots.push([fileSystem, await api.createSnapshot({ volumeId: volume })])
    await server.kill()
    await server.start()
  }
  t.ok(interrupted > 0, `the server was killed ${interrupted} times while all were at work`)
  return snapshots
}

/** A volume made from it is mounted, whereby the file system's journal is played, and then nothing may be wrong with it. */
async function checkSnapshot(fileSystem: FileSystem, snapshot: string): Promise<void> {
  const clone = await api.createVolume({ snapshot_id: snapshot })
  await withLoopDevice(server.operatorUri(clone), async (device) => {
    await mounted(fileSystem, device, mountPoint, () => tool('ls', ['-l', mountPoint]))
    await checkFileSystem(fileSystem, device)
  })
}

// Everything is on one small file system, and that runs full: by uploads, by NBD writes, by a file of somebody else. What frees
// space always works, the server is killed at this point, starts again, and everything that it answered is whole.
//
// ATOLL_FULL_DISK_ROUNDS: how often each way is gone (default: 1).

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { FullDisk, ways } from '../../testkit/full_disk.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

const rounds = Number(process.env.ATOLL_FULL_DISK_ROUNDS ?? 1)

t.setTimeout(300_000 * rounds)

for (const way of ways) {
  for (let round = 1; round <= rounds; round++) {
    t.test(`a disk filled by ${way} (round ${round})`, async (t) => {
      const disk = await SmallDisk.make(t, { mib: 200 })
      const server = await startServerProcess(t, { dataDir: join(disk.mount, 'data') })
      const full = new FullDisk(server, disk.mount, `${way} ${round} ${process.env.ATOLL_SEED ?? process.pid}`)
      await full.prepare()

      await t.test('what needs space is refused with 507, what frees space works', async (t) => {
        const refusals = await full.fill(way)
        t.strictSame([...refusals], [507], `${full.storedCount} objects are stored`)
        t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
        await full.login()
        await full.detachKept()
        t.strictSame([...(await full.deleteEvery(10))], [204])
      })

      await t.test('killed on a full disk it is checked, starts, and has everything that it answered', async (t) => {
        await full.fill(way)
        await server.kill()
        // To the last block: what the kill left free is taken.
        await full.fillByForeignFile()
        const checked = await server.check()
        t.equal(checked.exitCode, 0, checked.all)
        await server.start()
        await full.login()
        t.strictSame(await full.damage(), [])
      })

      await t.test('deletions make room, and it carries on without another restart', async (t) => {
        t.strictSame([...(await full.deleteEvery(2))], [204])
        await full.deleteGreedy()
        // Where the disk is somebody else's, so little is deleted that it stays full.
        if (way === 'a foreign file') await full.removeForeignFile()
        t.equal(await full.putEventually(5 * MiB), 201)
        await full.removeForeignFile()
        t.strictSame(await full.damage(), [])
        await server.stop()
        const { exitCode, all } = await server.check()
        t.equal(exitCode, 0, all)
        t.strictSame(
          (await readdir(join(server.dataDir, 'store', 'records'))).filter((name) => name.startsWith('LOG')),
          [],
          'RocksDB has no log file of its own',
        )
      })
    })
  }
}

t.test('check works on a read-only file system, after a stop and after a kill, and --repair refuses it', async (t) => {
  const disk = await SmallDisk.make(t, { mib: 200 })
  const server = await startServerProcess(t, { dataDir: join(disk.mount, 'data') })
  const full = new FullDisk(server, disk.mount, 'read-only')
  await full.prepare()
  const checkReadOnly = async (how: string) => {
    await disk.detach()
    await disk.attach('ro')
    const checked = await server.check()
    t.equal(checked.exitCode, 0, `${how}: ${checked.all}`)
    const repaired = await server.check('--repair')
    t.equal(repaired.exitCode, 2, how)
    t.match(repaired.all, /read-only file system/)
    await disk.detach()
    await disk.attach()
  }
  await server.kill()
  await checkReadOnly('after a kill')
  await server.start()
  await full.login()
  t.strictSame(await full.damage(), [])
  await server.stop()
  await checkReadOnly('after a stop')
})

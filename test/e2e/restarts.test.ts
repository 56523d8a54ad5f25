// Machines whose disk's server goes away and comes back, in order and by kill -9, while they write: QEMU's NBD client with
// `reconnect-delay`, and the kernel's with atoll-attach.
//
// What a machine was answered must be there when it has reconnected, flushed or not: it goes on as if nothing had happened,
// and its next flush speaks for all that it wrote before.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { GiB, MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { bootNbdGuest, guestUri, killKeepers } from '../../testkit/guest/nbd_guest.js'
import { qmp } from '../../testkit/guest/qmp.js'
import { WriteLoad } from '../../testkit/guest/write_load.js'
import { generations, nbdsh } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

t.setTimeout(600_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

async function volume() {
  const id = await api.createVolume({})
  const attachment = await api.attach(id)
  await api.complete(attachment.id)
  return { id, uri: attachment.uri }
}

const endings = [
  ['in order', () => server.stop()],
  ['by kill -9', () => server.kill()],
] as const

t.test('what was answered survives a kill -9 of the server, flushed or not', async () => {
  const uri = server.operatorUri(await api.createVolume({}))
  // Killed by its client while that is connected: the end of the last connection would be a flush.
  await nbdsh(
    uri,
    [
      "h.pwrite(b'flushed!' * 4096, 0)",
      'h.flush()',
      "h.pwrite(b'answered' * 4096, 8 << 20)",
      'h.trim(4096, 0)',
      `import os\nos.kill(${server.pid}, 9)`,
    ].join('\n'),
  )
  await server.kill()
  await server.start()
  await nbdsh(
    uri,
    "assert h.pread(32768, 8 << 20) == b'answered' * 4096\nassert h.pread(8192, 0) == bytes(4096) + b'flushed!' * 512",
  )
})

t.test('check --repair after a kill -9 takes nothing of what was answered and not flushed', async (t) => {
  const server = await startServerProcess(t)
  const uri = server.operatorUri(await (await Api.login(await server.environment())).createVolume({}))
  await nbdsh(
    uri,
    [
      "h.pwrite(b'flushed!' * 4096, 0)",
      'h.flush()',
      "h.pwrite(b'answered' * (1 << 17), 1 << 20)",
      "h.pwrite(b'answered' * (1 << 17), 8 << 20)",
      `import os\nos.kill(${server.pid}, 9)`,
    ].join('\n'),
  )
  await server.kill()
  const { exitCode, all } = await server.check('--repair')
  t.equal(exitCode, 0, all)
  await server.start()
  await nbdsh(
    uri,
    [
      "assert h.pread(32768, 0) == b'flushed!' * 4096",
      "for at in (1 << 20, 8 << 20): assert h.pread(1 << 20, at) == b'answered' * (1 << 17), at",
    ].join('\n'),
  )
})

t.test('after another mount nothing is believed but what was flushed', async (t) => {
  const disk = await SmallDisk.make(t, { mib: 256 })
  const server = await startServerProcess(t, { dataDir: join(disk.mount, 'data') })
  const uri = server.operatorUri(await (await Api.login(await server.environment())).createVolume({}))
  await nbdsh(
    uri,
    [
      "h.pwrite(b'flushed!' * 4096, 0)",
      'h.flush()',
      "h.pwrite(b'answered' * (1 << 17), 8 << 20)",
      `import os\nos.kill(${server.pid}, 9)`,
    ].join('\n'),
  )
  await server.kill()
  await disk.detach()
  await disk.attach()
  await server.start()
  // Whoever took the disk away may have taken its cache away, too: those bytes may be there, and are not asked for.
  await nbdsh(uri, "assert h.pread(32768, 0) == b'flushed!' * 4096\nassert h.pread(32768, 8 << 20) == bytes(32768)")
  const ended = await server.kill()
  t.match(ended?.all, /not flushed before the last boot or mount are thrown away/)
  // Nobody sees its space; check --repair gives it back.
  t.match(await server.check('--repair'), {
    exitCode: 0,
    stdout: /^repaired: data file [0-9a-f]+: \d{6,} bytes that no record mentions are given back$/m,
  })
  await server.start()
  await nbdsh(uri, "assert h.pread(32768, 0) == b'flushed!' * 4096\nassert h.pread(1 << 20, 8 << 20) == bytes(1 << 20)")
})

for (const clients of generations)
  t.test(
    `${clients.name}: qemu-img with reconnect-delay keeps 64 writes in flight through restarts and kills, and none fails`,
    async (t) => {
      const volume = await api.createVolume({})
      const image = `driver=nbd,server.type=unix,server.path=${server.nbdSocket},export=${volume},reconnect-delay=120`
      const bench = ['bench', '-w', '--image-opts', image, '-c', '100000', '-d', '64', '-s', '4096']
      let running = true
      const written = clients.run('qemu-img', [...bench, '--flush-interval=1000', '--no-drain'])
      const writing = t.resolveMatch(written, /Run completed/).finally(() => {
        running = false
      })
      let ends = 0
      try {
        while (running && ends < 6) {
          await sleep(100 + Math.random() * 200)
          await endings[ends++ % 2]?.[1]()
          await server.start()
        }
      } finally {
        await writing
      }
      t.ok(ends >= 2, `it was interrupted ${ends} times`)
    },
  )

for (const clients of generations)
  t.test(
    `${clients.name}: a guest writes on over restarts and kills, by QEMU’s client and by the kernel’s, and sees its disks grow`,
    async (t) => {
      const [qemu, kernel] = await Promise.all([volume(), volume()])
      const qmpSocket = join(server.scratchDir, `qmp-${generations.indexOf(clients)}`)
      const guest = await bootNbdGuest({ clients, disks: [qemu.uri], reconnectSeconds: 120, qmpSocket })
      try {
        await guest.run(`atoll-attach --connections 2 --timeout 3 --dead-timeout 120 ${guestUri(kernel.uri)} /dev/nbd0`)
        const loads = [await WriteLoad.start(guest, '/dev/vda'), await WriteLoad.start(guest, '/dev/nbd0')]
        for (const [how, end] of [...endings, ...endings]) {
          for (const load of loads) await load.progress()
          await sleep(Math.random() * 300) // into other work each time
          await end()
          await server.start()
          for (const load of loads) await load.progress()
          t.pass(`ended ${how} and started again`)
        }
        for (const load of loads) await load.verify()
        t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)

        const growsTo = async (disk: string, bytes: number) => {
          const size = `$(cat /sys/block/${disk}/size)`
          await guest.run(`until test ${size} = ${bytes / 512}; do sleep 0.1; done`)
          t.equal((await guest.run(`echo ${size}`)).trim(), String(bytes / 512), `${disk} has grown in the guest`)
          await guest.run(`dd if=/dev/urandom of=/dev/${disk} bs=1M count=1 seek=${bytes / MiB - 1} oflag=direct`)
        }
        for (const { id } of [qemu, kernel]) await api.extend(id, 2)
        await guest.run('atoll-attach --resize /dev/nbd0')
        await growsTo('nbd0', 2 * GiB)
        // QEMU asks for the size when it connects, and at no other time. The kernel's keeper looks again then, too.
        await api.extend(kernel.id, 3)
        await server.stop()
        await server.start()
        await guest.run('dd if=/dev/vda of=/dev/null bs=4096 count=1 iflag=direct')
        await qmp(qmpSocket, 'block_resize', { device: 'disk0', size: 2 * GiB })
        await growsTo('vda', 2 * GiB)
        await growsTo('nbd0', 3 * GiB)

        // Without its keeper the device goes on, and another keeper takes it over.
        await guest.run(killKeepers)
        await guest.run('dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct')
        await guest.run(`atoll-attach --connections 2 ${guestUri(kernel.uri)} /dev/nbd0`)
        await guest.run('dd if=/dev/nbd0 of=/dev/null bs=1M count=1 iflag=direct')

        await guest.run('atoll-attach --detach /dev/nbd0')
        await guest.powerOff()
      } finally {
        await guest.kill()
      }
    },
  )

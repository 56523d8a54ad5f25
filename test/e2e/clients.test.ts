// The NBD clients that people use, each against a volume of a real server: libnbd's, QEMU's, fio, FUSE, and the kernel's. All but
// FUSE's run in two generations.

import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { bootNbdGuest, hostAddress } from '../../testkit/guest/nbd_guest.js'
import { withLoopDevice } from '../../testkit/loop_device.js'
import { generations, nbdsh, tool } from '../../testkit/nbd_tools.js'
import { pseudorandom } from '../../testkit/pseudorandom.js'
import { program, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(900_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const dir = server.scratchDir
const say = (text: string) => t.comment(text)

/** A fresh volume of 1 GiB at both doors. */
async function volume(): Promise<{ id: string; operator: string; tenant: string }> {
  const id = await api.createVolume({})
  const { uri } = await api.attach(id)
  return { id, operator: server.operatorUri(id), tenant: uri }
}

/** A file with data, a hole and data that ends in the middle of a block. */
async function sampleFile(name: string): Promise<string> {
  const path = join(dir, name)
  await pipeline(Readable.from(pseudorandom(name, 96 * MiB + 12345)), createWriteStream(path))
  await pipeline(
    Readable.from(pseudorandom(`${name} 2`, 5 * MiB + 77)),
    createWriteStream(path, { flags: 'r+', start: 200 * MiB }),
  )
  return path
}

t.test('an ext4 on a loop device over nbdfuse: mkfs, mount, files, fsck', async (t) => {
  const mount = join(dir, 'mnt')
  await tool('mkdir', [mount])
  await withLoopDevice((await volume()).tenant, async (device) => {
    await tool('mkfs.ext4', ['-q', device])
    await tool('mount', [device, mount])
    try {
      await tool('cp', [await sampleFile('fs'), join(mount, 'copy')])
      await tool('cp', ['-r', '/usr/include/linux', join(mount, 'many')])
      await tool('sync', ['-f', mount])
    } finally {
      await tool('umount', [mount])
    }
    await tool('e2fsck', ['-fn', device])
    await tool('mount', ['-o', 'ro', device, mount])
    try {
      await tool('cmp', [join(dir, 'fs'), join(mount, 'copy')])
      await tool('diff', ['-r', '/usr/include/linux', join(mount, 'many')])
    } finally {
      await tool('umount', [mount])
    }
  })
  t.pass('the file system is clean and holds what was copied')
})

t.test('what is written at one door is read at the other, and a flush at either speaks for both', async (t) => {
  const { tenant, operator } = await volume()
  await nbdsh(
    tenant,
    [
      'other = nbd.NBD()',
      `other.connect_uri(${JSON.stringify(operator)})`,
      'assert h.can_multi_conn() and other.can_multi_conn()',
      "h.pwrite(b'tenant' * 2048, 0)",
      "assert other.pread(12288, 0) == b'tenant' * 2048",
      "other.pwrite(b'operator' * 512, 4096)",
      "assert h.pread(12288, 0)[4096:8192] == b'operator' * 512",
      'other.flush()',
      'import json, subprocess',
      `status = [${JSON.stringify(process.execPath)}, ${JSON.stringify(program)}, 'status', '--json', '--data', ${JSON.stringify(server.dataDir)}]`,
      "syncs = lambda: json.loads(subprocess.check_output(status))['counters']['dataSyncs']",
      'before = syncs()',
      'h.flush()',
      "assert syncs() == before, 'nothing was left for the second flush'",
    ].join('\n'),
  )
  t.pass('both see both writes')
})

for (const clients of generations) {
  t.test(
    `${clients.name}: nbdcopy there and back gives the same bytes, over TCP and over the unix socket`,
    async (t) => {
      const source = await sampleFile('there')
      for (const door of ['tenant', 'operator'] as const) {
        const uri = (await volume())[door]
        const back = join(dir, `back-${door}`)
        await clients.run('nbdcopy', ['--connections=4', '--requests=64', '--flush', source, uri])
        await clients.run('nbdcopy', ['--connections=4', '--requests=64', uri, back])
        await tool('cmp', ['--bytes', String(205 * MiB + 77), source, back])
        // Behind the file's end the volume is still zeros.
        await tool('cmp', [
          '--ignore-initial',
          `0:${206 * MiB}`,
          '--bytes',
          String(1024 * MiB - 206 * MiB),
          '/dev/zero',
          back,
        ])
        t.pass(`${door}: ${uri}`)
      }
    },
  )

  t.test(`${clients.name}: qemu-img copies, compares and maps`, async (t) => {
    const source = await sampleFile('qemu')
    await tool('truncate', ['--size=1G', source])
    const { tenant, operator } = await volume()
    await clients.run('qemu-img', [
      'convert',
      '-n',
      '-f',
      'raw',
      '-O',
      'raw',
      '--target-is-zero',
      '-W',
      '-m',
      '8',
      source,
      tenant,
    ])
    await clients.run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, operator])
    const map = JSON.parse(await clients.run('qemu-img', ['map', '--output=json', '-f', 'raw', operator])) as {
      length: number
      data: boolean
    }[]
    const dataBytes = map.filter((extent) => extent.data).reduce((sum, extent) => sum + extent.length, 0)
    t.ok(dataBytes >= 101 * MiB && dataBytes <= 102 * MiB, `the map shows ${dataBytes} bytes of data, and the hole`)
  })

  t.test(`${clients.name}: qemu-io: patterns, zeroes, discards and flushes read back as written`, async (t) => {
    const { tenant } = await volume()
    const commands = [
      'write -P 0xa5 0 1M',
      'write -P 0x5a 4096 512', // less than a block, inside of what was written
      'aio_write -P 0x11 8M 64k',
      'aio_flush',
      'read -P 0xa5 0 4096',
      'read -P 0x5a 4096 512',
      'read -P 0xa5 4608 1000k',
      'read -P 0x11 8M 64k',
      'write -z 64k 64k', // zeroes
      'write -z -u 128k 100k', // zeroes that may punch
      'read -P 0 64k 164k',
      'read -P 0xa5 228k 4k',
      'discard 512k 256k',
      'read -P 0 512k 256k',
      'write -f -P 0x77 1023M 1M', // FUA, at the very end
      'flush',
      'read -P 0x77 1023M 1M',
    ]
    const output = await clients.run('qemu-io', [
      '-f',
      'raw',
      '-d',
      'unmap',
      ...commands.flatMap((each) => ['-c', each]),
      tenant,
    ])
    t.notMatch(output, /verification failed|error/i)
  })

  t.test(`${clients.name}: fio writes at random over 4 connections and finds every checksum`, async () => {
    const output = await clients.fioVerify((await volume()).tenant, { connections: 4, mibEach: 128, cwd: dir })
    for (const line of output.split('\n').filter((line) => /^ *(READ|WRITE):/.test(line))) say(line.trim())
  })

  t.test(`${clients.name}: nbdinfo: LIST at the operator’s door only, sizes, flags and the map`, async (t) => {
    const { id, tenant, operator } = await volume()
    await clients.nbdsh(operator, "h.pwrite(b'x' * 8192, 4 << 20)\nh.flush()")
    const list = JSON.parse(
      await clients.run('nbdinfo', ['--list', '--json', `nbd+unix://?socket=${server.nbdSocket}`]),
    )
    const names = (list.exports as { 'export-name': string }[]).map((each) => each['export-name'])
    t.ok(names.includes(id), 'the unix socket lists the volume by its id')

    const info = JSON.parse(await clients.run('nbdinfo', ['--json', tenant])).exports[0]
    t.match(info, {
      'export-size': 1024 * MiB,
      is_read_only: false,
      can_multi_conn: true,
      can_flush: true,
      can_fua: true,
    })
    t.match(info, { can_trim: true, can_zero: true, can_df: true, block_size_minimum: Number })

    const map = JSON.parse(await clients.run('nbdinfo', ['--map', '--json', tenant])) as {
      offset: number
      length: number
      type: number
    }[]
    const data = map.filter((extent) => extent.type === 0)
    t.strictSame(
      data.map(({ offset, length }) => [offset, length]),
      [[4 * MiB, 8192]],
      'two blocks of data, the rest holes',
    )

    const refusal = /server replied with error to list request/
    await t.rejects(clients.run('nbdinfo', ['--list', `nbd://${server.nbdAddress}`]), refusal, 'TCP refuses LIST')
    const [host = '', port = ''] = server.nbdAddress.split(':')
    await t.rejects(
      clients.run('qemu-nbd', ['--list', '-b', host, '-p', port]),
      /Denied by server for option 3 .*exports are not listed over TCP/s,
      'QEMU shows the reason',
    )
  })

  t.test(
    `${clients.name}: the kernel's own client in a guest: a file system, a remount, a trim, a unix socket`,
    async (t) => {
      const { tenant } = await volume()
      const { port, pathname } = new URL(tenant)
      const guest = await bootNbdGuest({ clients, programs: ['socat'] })
      try {
        await guest.run(`nbd-client ${hostAddress} ${port} -N ${pathname.slice(1)} /dev/nbd0 -C 2`)
        t.equal((await guest.run('cat /sys/block/nbd0/size')).trim(), String((1024 * MiB) / 512))
        await guest.run('mkfs.ext4 -q -F /dev/nbd0 && mount -t ext4 /dev/nbd0 /mnt')
        await guest.run('dd if=/dev/urandom of=/mnt/f bs=1M count=32 && md5sum /mnt/f >/tmp/sum && sync && umount /mnt')
        await guest.run('e2fsck -fn /dev/nbd0 && mount -t ext4 /dev/nbd0 /mnt && md5sum -c /tmp/sum')
        t.match(await guest.run('fstrim -v /mnt && umount /mnt'), /bytes trimmed/)
        await guest.run('nbd-client -d /dev/nbd0')

        // The same over a unix socket of the guest, of which a forwarder is the server's end.
        await guest.run(`socat UNIX-LISTEN:/tmp/s,fork TCP:${hostAddress}:${port} </dev/null >/dev/null 2>&1 &`)
        await guest.run('while [ ! -S /tmp/s ]; do sleep 0.1; done')
        await guest.run(`nbd-client -unix /tmp/s -N ${pathname.slice(1)} /dev/nbd0`)
        await guest.run(
          'mount -t ext4 /dev/nbd0 /mnt && md5sum -c /tmp/sum && rm /mnt/f && umount /mnt && e2fsck -fn /dev/nbd0',
        )
        await guest.run('nbd-client -d /dev/nbd0')
        t.notMatch(guest.console, /I\/O error|EXT4-fs error/)
        await guest.powerOff()
      } finally {
        await guest.kill()
      }
    },
  )
}

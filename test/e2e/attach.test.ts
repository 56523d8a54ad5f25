// The kernel's NBD client and atoll-attach in a guest: devices in use, devices without a keeper, TLS, several addresses.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { issue, makeAuthority } from '../../testkit/certificates.js'
import { bootNbdGuest, guestUri, hostAddress, killKeepers, untilNoKeeper } from '../../testkit/guest/nbd_guest.js'
import { WriteLoad } from '../../testkit/guest/write_load.js'
import { freePort } from '../../testkit/ports.js'
import { type ServerProcess, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(900_000)

const dir = t.testdir()
const authority = await makeAuthority(dir, 'authority')
const own = await issue(authority, 'server', { dir: join(dir, 'server'), name: 'server' })
const keys = join(dir, 'keys.psk')
await writeFile(keys, `alice:${'0123456789abcdef'.repeat(4)}\n`, { mode: 0o600 })

const plain = await startServerProcess(t)
const secret = await startServerProcess(t, {
  arguments: [
    '--nbd-tls',
    'required',
    '--nbd-tls-cert',
    own.certificate,
    '--nbd-tls-key',
    own.key,
    '--nbd-tls-psk',
    keys,
  ],
})
const guest = await bootNbdGuest({
  programs: ['socat'],
  files: [authority.certificate, keys],
})
t.teardown(() => guest.kill())

async function volume(server: ServerProcess = plain) {
  const api = await Api.login(await server.environment())
  const attachment = await api.attach(await api.createVolume({}))
  await api.complete(attachment.id)
  return { uri: guestUri(attachment.uri) }
}

/** Runs a command that must fail with this status; resolves with its output. */
async function failing(status: number, command: string): Promise<string> {
  return guest.run(`${command} 2>&1; test $? = ${status}`)
}

t.test('help and version go to stdout, and a wrong command line is status 2', async (t) => {
  t.match(await guest.run('atoll-attach --help 2>/dev/null'), /^usage:/)
  t.match(await guest.run('atoll-attach --version 2>/dev/null'), /^atoll-attach \d+\.\d+\.\d+$/)
  t.match(await failing(2, 'atoll-attach --detach /dev/sda'), /expected a device such as \/dev\/nbd0, got "\/dev\/sda"/)
  t.match(await failing(1, 'atoll-attach --detach /dev/nbd5'), /\/dev\/nbd5 is not attached/)
})

t.test('detach refuses a device in use, names its users, and leaves their data alone', async (t) => {
  const { uri } = await volume()
  await guest.run(`atoll-attach --timeout 3 ${uri} /dev/nbd0`)
  const detach = 'atoll-attach --detach /dev/nbd0'

  await guest.run('mkfs.ext4 -q -F /dev/nbd0 && mkdir -p /m && mount -t ext4 /dev/nbd0 /m && echo kept >/m/file')
  t.match(await failing(1, detach), /\/dev\/nbd0 is in use: mounted on \/m \(\/dev\/nbd0\)/)
  await guest.run('sync; echo more >>/m/file && umount /m && e2fsck -fn /dev/nbd0')

  await guest.run('sleep 1000 </dev/nbd0 & echo $! >/tmp/sleep')
  // The child opens the device, and then becomes sleep.
  const opened = 'test "$(readlink /proc/$p/fd/0) $(cat /proc/$p/comm)" = "/dev/nbd0 sleep"'
  await guest.run(`p=$(cat /tmp/sleep); until ${opened}; do sleep 0.1; done`)
  t.match(await failing(1, detach), /\/dev\/nbd0 is in use: open in process \d+ \(sleep, \/dev\/nbd0\)/)
  await guest.run('p=$(cat /tmp/sleep); kill $p && while test -e /proc/$p; do sleep 0.1; done')

  await guest.run(detach)
  t.match(await failing(1, detach), /\/dev\/nbd0 is not attached/)
  await guest.run(`atoll-attach --timeout 3 ${uri} /dev/nbd0`)
  t.equal(await guest.run('mount -t ext4 /dev/nbd0 /m && cat /m/file'), 'kept\nmore')
  await guest.run('umount /m')
  await guest.run(detach)
})

t.test('detach refuses a device whose partition is mounted, and one that is swap', async (t) => {
  const { uri } = await volume()
  const detach = 'atoll-attach --detach /dev/nbd1'
  await guest.run(`atoll-attach --timeout 3 ${uri} /dev/nbd1`)
  // One partition from sector 2048 to the end.
  await guest.run("printf 'o\\nn\\np\\n1\\n2048\\n\\nw\\n' | fdisk /dev/nbd1 >/dev/null")
  await guest.run('mkfs.ext4 -q -F /dev/nbd1p1 && mkdir -p /p && mount -t ext4 /dev/nbd1p1 /p')
  t.match(await failing(1, detach), /in use: mounted on \/p \(\/dev\/nbd1p1\)/)
  await guest.run('umount /p && mkswap /dev/nbd1p1 >/dev/null && swapon /dev/nbd1p1')
  t.match(await failing(1, detach), /in use: swap \(\/dev\/nbd1p1\)/)
  await guest.run(`swapoff /dev/nbd1p1 && ${detach}`)
})

t.test(
  'without a device a free one is attached and printed, the module is loaded, and --list shows both',
  async (t) => {
    const [one, two] = [await volume(), await volume()]
    await guest.run('rmmod nbd')
    t.match(
      await failing(1, `atoll-attach ${one.uri}`),
      /no NBD client, and ".*modprobe nbd" failed: install the module nbd/,
    )
    const modules = '/lib/modules/$(uname -r)'
    await guest.run(`mkdir -p ${modules} && cp /modules/nbd.ko ${modules} && echo nbd.ko: >${modules}/modules.dep`)
    await guest.run('echo /bin/modprobe >/proc/sys/kernel/modprobe')

    const attach = (uri: string, output: string) => `(atoll-attach --timeout 3 ${uri} >${output} 2>&1 &)`
    await guest.run(`${attach(one.uri, '/tmp/one')}; ${attach(two.uri, '/tmp/two')}`)
    await guest.run('until test -s /tmp/one && test -s /tmp/two; do sleep 0.1; done')
    const devices = (await guest.run('cat /tmp/one /tmp/two')).split('\n')
    t.strictSame(devices.toSorted(), ['/dev/nbd0', '/dev/nbd1'])

    await guest.run(`mkfs.ext4 -q -F ${devices[0]} && mkdir -p /l && mount -t ext4 ${devices[0]} /l`)
    const list = await guest.run('atoll-attach --list')
    t.match(list.split('\n')[0], /^DEVICE +BYTES +CONNECTIONS +KEEPER +MOUNTED ON +EXPORT$/)
    t.match(list, new RegExp(`^${devices[0]} +1073741824 +1 +\\d+ +/l +${one.uri}$`, 'm'))
    t.match(list, new RegExp(`^${devices[1]} +1073741824 +1 +\\d+ +- +${two.uri}$`, 'm'))
    await guest.run('umount /l && atoll-attach --detach /dev/nbd0 && atoll-attach --detach /dev/nbd1')
    t.equal((await guest.run('atoll-attach --list')).split('\n').length, 1)
  },
)

t.test(
  'a keeper that was killed under load is replaced without an I/O error, also while the server is away',
  async (t) => {
    const { uri } = await volume()
    // Nobody replaces a connection while there is no keeper, so no request may be late, even on a busy machine.
    await guest.run(`atoll-attach --connections 2 --timeout 30 --dead-timeout 120 ${uri} /dev/nbd0`)
    const load = await WriteLoad.start(guest, '/dev/nbd0')
    await load.progress()
    await guest.run(killKeepers)
    t.match(await guest.run('atoll-attach --list'), /^\/dev\/nbd0 .* no keeper /m)
    t.match(await failing(1, 'atoll-attach --resize /dev/nbd0'), /no keeper; give it one with --resume/)
    t.match(await failing(1, `atoll-attach ${(await volume()).uri} /dev/nbd0`), /has another export attached/)
    t.match(await failing(1, `atoll-attach ${uri} /dev/nbd0`), /expected --connections 2/)
    await load.progress()

    await guest.run(`atoll-attach --connections 2 ${uri} /dev/nbd0`)
    t.match(await failing(1, 'atoll-attach --resume /dev/nbd0'), /process \d+ keeps this device attached/)
    await plain.kill()
    await plain.start()
    await load.progress()
    t.pass('the second keeper has connected both again')

    await plain.stop()
    await guest.run(`${killKeepers} && atoll-attach --resume /dev/nbd0`)
    await plain.start()
    await load.progress()
    await load.verify()
    t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)
    await guest.run('atoll-attach --detach /dev/nbd0')
  },
)

t.test('a device over a unix socket is taken over, too', async (t) => {
  const { uri } = await volume()
  const { port, pathname } = new URL(uri)
  await guest.run(`socat UNIX-LISTEN:/tmp/nbd.sock,fork TCP:10.0.2.2:${port} >/dev/null 2>&1 & echo $! >/tmp/socat`)
  await guest.run('until test -S /tmp/nbd.sock; do sleep 0.1; done')
  await guest.run(`atoll-attach --timeout 3 'nbd+unix://${pathname}?socket=/tmp/nbd.sock' /dev/nbd0`)
  await guest.run(`${killKeepers} && atoll-attach --resume /dev/nbd0`)
  for (let i = 0; i < 2; i++) {
    // The children of the listening socat are the connections.
    await guest.run('kill $(pidof socat | tr " " "\\n" | grep -vx $(cat /tmp/socat))')
    await guest.run('dd if=/dev/urandom of=/dev/nbd0 bs=64k count=4 oflag=direct 2>/dev/null')
  }
  await guest.run('atoll-attach --detach /dev/nbd0 && kill $(cat /tmp/socat)')
  t.notMatch(guest.console, /I\/O error/i)
})

t.test('over TLS a device survives a restart of its server, and its keeper being told to end, or killed', async (t) => {
  const { uri } = await volume(secret)
  const psk = `${uri.replace('//', '//alice@')}?tls-psk-file=${keys}`
  // It came along with nbd-client.
  await guest.run('mkdir /away && mv $(find /lib /usr -name "libgnutls.so.30*") /away')
  t.match(await failing(1, `atoll-attach '${psk}'`), /TLS needs GnuTLS.*libgnutls\.so\.30/)
  t.match(await failing(1, `atoll-attach ${uri.replace('nbds:', 'nbd:')}`), /requires TLS: use nbds:/)
  const attach = 'LD_LIBRARY_PATH=/away atoll-attach'
  await guest.run(`${attach} --connections 2 --timeout 3 --dead-timeout 120 '${psk}' /dev/nbd3`)
  const load = await WriteLoad.start(guest, '/dev/nbd3')
  await load.progress()
  await secret.kill()
  await secret.start()
  await load.progress()
  // The connections would end with the keeper, and the file system with them.
  await guest.run('kill $(pidof atoll-attach)')
  await load.progress()
  await guest.run(`${killKeepers} && ${attach} --resume /dev/nbd3`)
  await load.progress()
  await load.verify()
  await guest.run(`atoll-attach --detach /dev/nbd3 && ${untilNoKeeper}`)

  const folder = join(authority.certificate, '..')
  t.match(await failing(1, `${attach} '${uri}?tls-certificates=${folder}'`), /expected a certificate for "10\.0\.2\.2"/)
  const x509 = `${uri}?tls-certificates=${folder}&tls-hostname=localhost`
  t.equal(await guest.run(`${attach} '${x509}'`), '/dev/nbd0')
  await guest.run(
    'mount -t ext4 /dev/nbd0 /mnt && md5sum /mnt/f0 >/dev/null && umount /mnt && atoll-attach --detach /dev/nbd0',
  )
  t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)
})

t.test('of two addresses the one that works is taken, and all connections go to the same', async (t) => {
  const { uri } = await volume()
  const { port, pathname } = new URL(uri)
  const other = `--address ${hostAddress}:${port}`
  await guest.run(`atoll-attach ${other} nbd://${hostAddress}:${await freePort()}${pathname} /dev/nbd4`)
  await guest.run(
    'dd if=/dev/nbd4 of=/dev/null bs=64k count=1 iflag=direct 2>/dev/null && atoll-attach --detach /dev/nbd4',
  )

  await guest.run(
    `socat TCP-LISTEN:7001,reuseaddr,fork TCP:${hostAddress}:${port} >/dev/null 2>&1 & echo $! >/tmp/socat`,
  )
  await guest.run('until netstat -tln | grep -q :7001; do sleep 0.1; done')
  await guest.run(`atoll-attach -C 2 --timeout 3 ${other} nbd://127.0.0.1:7001${pathname} /dev/nbd4`)
  const load = await WriteLoad.start(guest, '/dev/nbd4')
  await load.progress()
  const children = '$(pidof socat | tr " " "\\n" | grep -vx $(cat /tmp/socat))'
  t.equal((await guest.run(`echo ${children}`)).split(' ').length, 2)
  // The address is gone, and one of two connections to it.
  await guest.run(`c="${children}"; kill $(cat /tmp/socat) $(echo $c | cut -d" " -f1)`)
  await guest.run('while pidof socat; do sleep 0.1; done')
  await load.progress()
  await load.verify()
  await guest.run('atoll-attach --detach /dev/nbd4')
  t.notMatch(guest.console, /I\/O error|EXT4-fs error/i)
})

t.test('detach --force takes the device from under a file system', async () => {
  const { uri } = await volume()
  await guest.run(`atoll-attach --timeout 3 ${uri} /dev/nbd2 && mkfs.ext4 -q -F /dev/nbd2`)
  await guest.run('mkdir -p /f && mount -t ext4 /dev/nbd2 /f && echo lost >/f/file')
  await guest.run('atoll-attach --detach --force /dev/nbd2')
  const read = 'dd if=/dev/nbd2 of=/dev/null bs=4096 count=1 iflag=direct'
  await guest.run(`${untilNoKeeper} && ! ${read} 2>&1 && umount /f`)
  // e2fsck has status 1 when it has repaired something.
  const repair = '{ e2fsck -fp /dev/nbd2; test $? -le 1; }'
  await guest.run(`atoll-attach ${uri} /dev/nbd2 && ${repair} && atoll-attach --detach /dev/nbd2`)
})

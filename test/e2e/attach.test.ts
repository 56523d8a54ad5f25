// The kernel's NBD client and atoll-attach in a guest: devices in use, devices without a keeper, TLS, several addresses.

import t from 'tap'
import { Api } from '../support/api.js'
import { bootNbdGuest, guestUri } from '../support/guest/nbd_guest.js'
import { startServerProcess } from '../support/server_process.js'

t.setTimeout(300_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const guest = await bootNbdGuest()
t.teardown(() => guest.kill())

async function volume() {
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
  await guest.run('sync; echo more >>/m/file; umount /m; e2fsck -fn /dev/nbd0')

  await guest.run('sleep 1000 </dev/nbd0 & echo $! >/tmp/sleep')
  t.match(await failing(1, detach), /\/dev\/nbd0 is in use: open in process \d+ \(sleep, \/dev\/nbd0\)/)
  await guest.run('kill $(cat /tmp/sleep)')

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
  await guest.run('umount /p; mkswap /dev/nbd1p1 >/dev/null; swapon /dev/nbd1p1')
  t.match(await failing(1, detach), /in use: swap \(\/dev\/nbd1p1\)/)
  await guest.run(`swapoff /dev/nbd1p1; ${detach}`)
})

t.test('detach --force takes the device from under a file system', async (t) => {
  const { uri } = await volume()
  await guest.run(`atoll-attach --timeout 3 ${uri} /dev/nbd2 && mkfs.ext4 -q -F /dev/nbd2`)
  await guest.run('mkdir -p /f && mount -t ext4 /dev/nbd2 /f && echo lost >/f/file')
  await guest.run('atoll-attach --detach --force /dev/nbd2')
  await guest.run('! pidof atoll-attach; ! dd if=/dev/nbd2 of=/dev/null bs=4096 count=1 iflag=direct 2>&1; umount /f')
  await guest.run(`atoll-attach ${uri} /dev/nbd2 && e2fsck -fp /dev/nbd2; atoll-attach --detach /dev/nbd2`)
})

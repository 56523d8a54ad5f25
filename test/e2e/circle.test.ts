// The whole circle on a disk that boots: object → image → volume → machine → snapshot → image → volume → machine,
// by the stock clients, with the bytes that the store writes counted on the way.
//
// The tests of this file are one story: each goes on where the one before it ended.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { GiB } from '../../src/lib/units.js'
import { bootDisk, bootDiskBytes } from '../../testkit/guest/boot_disk.js'
import { Machine } from '../../testkit/guest/machine.js'
import { tool } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { dataBytes, spaceReturnsTo } from '../../testkit/space.js'
import { field, StockClients } from '../../testkit/stock_clients.js'

t.setTimeout(900_000)

const server = await startServerProcess(t)
const clients = new StockClients(await server.environment(), (line) => t.comment(`$ ${line}`))
const atStart = await dataBytes(server.dataDir)
const disk = await bootDisk()

// What the story has made so far.
let image = ''
let first = ''
let second = ''
let snapshot = ''
let snapshotImage = ''
let attachment = { id: '', uri: '' }
let machine: Machine | undefined
t.teardown(() => machine?.kill())

t.test('python-swiftclient uploads a disk that boots', async (t) => {
  await clients.swift('upload', 'disks', disk, '--object-name', 'boot.raw')
  t.match(await clients.swift('stat', 'disks', 'boot.raw'), `Content Length: ${bootDiskBytes}`)
  t.ok((await dataBytes(server.dataDir)) > atStart, 'it takes up space')
  const back = join(server.scratchDir, 'back.raw')
  await clients.swift('download', 'disks', 'boot.raw', '--output', back)
  await tool('cmp', [disk, back])
})

t.test('the object becomes an image and the image a larger volume, and no data byte is written', async (t) => {
  const before = await written()
  const account = /Account: (\S+)/.exec(await clients.swift('stat'))?.[1]
  image = await register('os', `swift://${account}/disks/boot.raw`)
  first = await createVolume('first', image)
  t.strictSame(await written(), before)
})

t.test('a machine boots from the volume and leaves a mark in its file system', async (t) => {
  attachment = await attach(first)
  t.comment(`QEMU boots from ${attachment.uri}`)
  machine = await Machine.boot({ disks: [attachment.uri] })
  t.equal((await machine.run('cat /sys/block/vda/size')).trim(), String(GiB / 512), 'it sees the volume’s size')
  await machine.run('echo first machine >/mark')
  await machine.run('dd if=/dev/urandom of=/data bs=1M count=8 && sha256sum /data >/data.sha256')
  // Behind the image's end the volume is empty, and can be written to.
  const end = bootDiskBytes / 4096
  await machine.run(`dd if=/dev/vda bs=4096 skip=${end} count=256 | tr -d '\\000' | wc -c | grep -qx 0`)
  await machine.run(`dd if=/data of=/dev/vda bs=4096 seek=${end} count=256 conv=notrunc`)
  await machine.run('sync')
})

t.test(
  'a snapshot of the attached volume becomes an image and a second volume, and no data byte is written',
  async (t) => {
    // The machine is held, so that what the store writes meanwhile is of our doing.
    machine?.pause()
    const before = await written()
    snapshot = field(await clients.cinder('snapshot-create', '--force', 'True', '--name', 'marked', first), 'id')
    snapshotImage = await register('marked', `cinder://snapshots/${snapshot}`)
    second = await createVolume('second', snapshotImage)
    t.strictSame(await written(), before)
    machine?.resume()
  },
)

t.test('the first machine goes on, and its attachment’s URI dies with the attachment', async (t) => {
  await machine?.run('echo too late for the snapshot >/mark.after && sync')
  await machine?.powerOff()
  await tool('nbdinfo', [attachment.uri])
  await clients.cinder('attachment-delete', attachment.id)
  await t.rejects(tool('nbdinfo', [attachment.uri]), 'the export is gone')
})

t.test('a machine boots from the second volume and finds the mark', async (t) => {
  attachment = await attach(second)
  machine = await Machine.boot({ disks: [attachment.uri] })
  await findsTheMark(t, machine)
  await machine.run('echo second machine >>/mark && sync')
  await machine.powerOff()
})

t.test('without object, images, snapshot and first volume the second volume still boots', async (t) => {
  await clients.glance('image-delete', image, snapshotImage)
  await clients.swift('delete', 'disks')
  await clients.cinder('snapshot-delete', snapshot)
  await gone(() => clients.cinder('snapshot-show', snapshot))
  await clients.cinder('delete', first)
  await gone(() => clients.cinder('show', first))
  machine = await Machine.boot({ disks: [attachment.uri] })
  await findsTheMark(t, machine)
  t.match(await machine.run('cat /mark'), 'second machine')
  await machine.powerOff()
})

t.test('when everything is deleted, the space is as at the start', async (t) => {
  await clients.cinder('attachment-delete', attachment.id)
  await clients.cinder('delete', second)
  await gone(() => clients.cinder('show', second))
  t.equal(await spaceReturnsTo(atStart, server.dataDir), atStart)
})

t.test('the stopped store is clean', async (t) => {
  await server.stop()
  const { exitCode, all } = await server.check()
  t.equal(exitCode, 0, all)
})

async function findsTheMark(t: Test, machine: Machine): Promise<void> {
  t.match(await machine.run('cat /mark'), 'first machine')
  await machine.run('sha256sum -c /data.sha256')
  await machine.run('! test -e /mark.after')
  await machine.run(`dd if=/dev/vda bs=4096 skip=${bootDiskBytes / 4096} count=256 | cmp -n 1048576 - /data`)
}

/** What stays the same as long as only metadata changes. */
async function written() {
  const { bytesWritten, contentBytesWritten } = await server.counters()
  return { bytesWritten, contentBytesWritten, allocated: await dataBytes(server.dataDir) }
}

async function register(name: string, location: string): Promise<string> {
  const format = ['--disk-format', 'raw', '--container-format', 'bare']
  const id = field(await clients.glance('image-create', '--name', name, ...format), 'id')
  await clients.glance('location-add', '--url', location, id)
  const status = field(await clients.glance('image-show', id), 'status')
  if (status !== 'active') throw new Error(`image ${name} is ${status}`)
  return id
}

async function createVolume(name: string, imageId: string): Promise<string> {
  return field(await clients.cinder('create', '--poll', '--name', name, '--image-id', imageId, '1'), 'id')
}

async function attach(volumeId: string): Promise<{ id: string; uri: string }> {
  const answer = await clients.cinder('attachment-create', '--connect', 'True', '--host', 'e2e', volumeId)
  return { id: field(answer, 'attachment_id'), uri: field(answer, 'uri') }
}

/** Clients learn that a thing is deleted when it cannot be shown any more. */
async function gone(show: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 20; tries++)
    if (
      await show().then(
        () => false,
        () => true,
      )
    )
      return
  throw new Error('it does not go')
}

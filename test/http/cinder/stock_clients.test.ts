// The block storage API as the distribution's own clients use it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { tool } from '../../support/nbd_tools.js'
import { startServer } from '../../support/server.js'
import { field, StockClients } from '../../support/stock_clients.js'
import { patterned } from '../glance/support.js'

t.setTimeout(600_000)

const server = await startServer(t, { nbd: true })
const clients = new StockClients(server.environment(), (line) => t.comment(`$ ${line}`))
const scratch = await mkdtemp(join(tmpdir(), 'atoll-volumes-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))
const file = join(scratch, 'disk.raw')
await writeFile(file, patterned(2 << 20))

/** Clients learn that a thing is deleted when it cannot be shown any more. */
async function gone(show: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    const isGone = await show().then(
      () => false,
      () => true,
    )
    if (isGone) return
    await sleep(200)
  }
  throw new Error('it does not go')
}

t.test('openstack volume: create, list, show by name, set, grow, delete', async (t) => {
  const made = await clients.openstack(
    'volume',
    'create',
    '--size',
    '1',
    '--property',
    'a=b',
    '--description',
    'd',
    'one',
  )
  const id = field(made, 'id')
  t.match(await clients.openstack('volume', 'list'), id)
  t.match(await clients.openstack('volume', 'list', '--name', 'one', '--status', 'available', '--long'), id)
  const shown = await clients.openstack('volume', 'show', 'one')
  t.equal(field(shown, 'id'), id)
  t.equal(field(shown, 'status'), 'available')
  t.equal(field(shown, 'properties'), "a='b'")

  await clients.openstack('volume', 'set', '--name', 'renamed', '--property', 'c=d', '--size', '2', '--bootable', id)
  const changed = await clients.openstack('volume', 'show', 'renamed')
  t.equal(field(changed, 'size'), '2')
  t.equal(field(changed, 'bootable'), 'true')
  t.match(field(changed, 'properties'), "c='d'")
  await clients.openstack('volume', 'unset', '--property', 'c', id)
  await clients.openstack('volume', 'set', '--read-only', id)
  await clients.openstack('volume', 'set', '--state', 'error', id)
  t.equal(field(await clients.openstack('volume', 'show', id), 'status'), 'error')
  await clients.openstack('volume', 'delete', id)
  await gone(() => clients.openstack('volume', 'show', id))
})

t.test('openstack: image to volume to snapshot to volume to image', async (t) => {
  const formats = ['--disk-format', 'raw', '--container-format', 'bare']
  await clients.openstack('image', 'create', 'base', ...formats, '--file', file)
  const fromImage = field(
    await clients.openstack('volume', 'create', '--size', '1', '--image', 'base', 'from-image'),
    'id',
  )
  t.equal(field(await clients.openstack('volume', 'show', fromImage), 'bootable'), 'true')
  await clients.openstack('volume', 'snapshot', 'create', '--volume', 'from-image', 'a-snapshot')
  t.match(await clients.openstack('volume', 'snapshot', 'list'), 'a-snapshot')
  t.equal(field(await clients.openstack('volume', 'snapshot', 'show', 'a-snapshot'), 'status'), 'available')
  await clients.openstack('volume', 'snapshot', 'set', '--name', 'renamed-snapshot', '--property', 'a=b', 'a-snapshot')
  await clients.openstack('volume', 'create', '--snapshot', 'renamed-snapshot', 'from-snapshot')
  await clients.openstack('volume', 'create', '--source', 'from-snapshot', 'from-volume')
  const image = await clients.openstack('image', 'create', '--volume', 'from-volume', 'from-a-volume')
  t.equal(field(image, 'image_name'), 'from-a-volume')
  t.equal(field(await clients.openstack('image', 'show', 'from-a-volume'), 'status'), 'active')

  await clients.openstack('volume', 'snapshot', 'delete', 'renamed-snapshot')
  await gone(() => clients.openstack('volume', 'snapshot', 'show', 'renamed-snapshot'))
  await clients.openstack('volume', 'delete', 'from-image', 'from-snapshot', 'from-volume')
  await gone(() => clients.openstack('volume', 'show', 'from-volume'))
  await clients.openstack('image', 'delete', 'base', 'from-a-volume')
})

t.test('openstack: types, limits of the service, zones and services are listed', async (t) => {
  t.match(await clients.openstack('volume', 'type', 'list'), 'atoll')
  t.equal(field(await clients.openstack('volume', 'type', 'show', 'atoll'), 'name'), 'atoll')
  t.match(await clients.openstack('availability', 'zone', 'list', '--volume'), 'nova')
  t.match(await clients.openstack('volume', 'service', 'list'), 'cinder-volume')
})

t.test('cinder: create, list, show, rename, grow, metadata, delete', async (t) => {
  const id = field(
    await clients.cinder('create', '--poll', '--name', 'by-cinder', '--metadata', 'a=b', '--', '1'),
    'id',
  )
  t.match(await clients.cinder('list'), id)
  t.match(await clients.cinder('list', '--name', 'by-cinder'), id)
  t.equal(field(await clients.cinder('show', 'by-cinder'), 'status'), 'available')
  await clients.cinder('rename', id, 'renamed', '--description', 'd')
  t.equal(field(await clients.cinder('show', id), 'name'), 'renamed')
  await clients.cinder('extend', id, '2')
  t.equal(field(await clients.cinder('show', id), 'size'), '2')
  await clients.cinder('metadata', id, 'set', 'c=d')
  t.match(await clients.cinder('metadata-show', id), 'c')
  await clients.cinder('metadata', id, 'unset', 'c')
  await clients.cinder('set-bootable', id, 'true')
  await clients.cinder('readonly-mode-update', id, 'true')
  t.match(await clients.cinder('summary'), '2')
  await clients.cinder('absolute-limits')
  await clients.cinder('quota-usage', (await server.login()).projectId)
  t.match(await clients.cinder('type-list'), 'atoll')
  t.match(await clients.cinder('get-pools', '--detail'), 'nbd')
  await clients.cinder('delete', id)
  await gone(() => clients.cinder('show', id))
})

t.test('cinder: snapshot, volume from it, image from the volume, and all deleted', async (t) => {
  const id = field(await clients.cinder('create', '--poll', '--name', 'source', '1'), 'id')
  const snapshot = field(await clients.cinder('snapshot-create', '--name', 'snap', id), 'id')
  t.match(await clients.cinder('snapshot-list'), snapshot)
  await clients.cinder('snapshot-rename', snapshot, 'snapped')
  t.equal(field(await clients.cinder('snapshot-show', 'snapped'), 'status'), 'available')
  await clients.cinder('snapshot-metadata', snapshot, 'set', 'a=b')
  const clone = field(await clients.cinder('create', '--poll', '--snapshot-id', snapshot, '--name', 'clone', '2'), 'id')
  const image = field(await clients.cinder('upload-to-image', clone, 'of-the-clone'), 'image_id')
  t.equal(field(await clients.glance('image-show', image), 'status'), 'active')
  await clients.cinder('snapshot-delete', snapshot)
  await gone(() => clients.cinder('snapshot-show', snapshot))
  await clients.cinder('delete', id, clone)
  await gone(() => clients.cinder('show', id))
  await gone(() => clients.cinder('show', clone))
})

t.test('cinder: an attachment is made, shown, completed, used and deleted', async (t) => {
  const id = field(await clients.cinder('create', '--poll', '--name', 'attached', '1'), 'id')
  const server_id = '11111111-2222-4333-8444-555555555555'
  const made = await clients.cinder(
    'attachment-create',
    '--connect',
    'True',
    '--host',
    'h',
    '--mountpoint',
    '/dev/vdb',
    id,
    server_id,
  )
  const attachment = field(made, 'attachment_id')
  const uri = field(made, 'uri')
  t.match(await tool('nbdinfo', [uri]), /export-size: 1073741824/)
  t.match(await clients.cinder('attachment-list'), attachment)
  t.match(await clients.cinder('attachment-show', attachment), 'nbd://')
  await clients.cinder('attachment-complete', attachment)
  t.equal(field(await clients.cinder('show', id), 'status'), 'in-use')
  t.match(await clients.cinder('show', id), attachment)
  await clients.cinder('snapshot-create', '--force', 'True', '--name', 'while-attached', id)
  await clients.cinder('attachment-delete', attachment)
  await t.rejects(tool('nbdinfo', [uri]))
  t.equal(field(await clients.cinder('show', id), 'status'), 'available')
  await clients.cinder('delete', '--cascade', id)
  await gone(() => clients.cinder('show', id))
})

t.test('cinder: an attachment reserves first and is connected later', async (t) => {
  const id = field(await clients.cinder('create', '--poll', '--name', 'reserved', '1'), 'id')
  const attachment = field(await clients.cinder('attachment-create', id), 'id')
  t.equal(field(await clients.cinder('show', id), 'status'), 'reserved')
  const updated = await clients.cinder('attachment-update', '--host', 'h', attachment)
  await tool('nbdinfo', [field(updated, 'uri')])
  await clients.cinder('attachment-delete', attachment)
  t.equal(field(await clients.cinder('show', id), 'status'), 'available')
})

// The block storage API as the distribution's `cinder` uses it.

import t from 'tap'
import { tool } from '../../../../testkit/nbd_tools.js'
import { startServer } from '../../../../testkit/server.js'
import { field, StockClients } from '../../../../testkit/stock_clients.js'
import { gone } from './support.js'

t.setTimeout(600_000)

const server = await startServer(t, { nbd: true })
const clients = new StockClients(server.environment(), (line) => t.comment(`$ ${line}`))

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

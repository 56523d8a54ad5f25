// The block storage API as the distribution's `openstack` uses it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { field, StockClients } from '../../../../testkit/stock_clients.js'
import { patterned } from '../glance/support.js'
import { gone } from './support.js'

t.setTimeout(600_000)

const server = await startServer(t)
const clients = new StockClients(server.environment(), (line) => t.comment(`$ ${line}`))
const scratch = await mkdtemp(join(tmpdir(), 'atoll-volumes-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))
const file = join(scratch, 'disk.raw')
await writeFile(file, patterned(2 << 20))

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

// The images API as the distribution's own clients use it.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { field, StockClients } from '../../../../testkit/stock_clients.js'
import { patterned } from './support.js'

t.setTimeout(600_000)

const server = await startServer(t)
const clients = new StockClients(server.environment(), (line) => t.comment(`$ ${line}`))
const scratch = await mkdtemp(join(tmpdir(), 'atoll-images-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))

const data = patterned(3 << 20)
const file = join(scratch, 'disk.raw')
await writeFile(file, data)
const formats = ['--disk-format', 'raw', '--container-format', 'bare']

t.test('openstack image: create from a file, list, show by name, set, save, delete', async (t) => {
  const id = field(await clients.openstack('image', 'create', 'by openstack', ...formats, '--file', file), 'id')
  t.match(await clients.openstack('image', 'list'), id)
  t.match(await clients.openstack('image', 'list', '--name', 'by openstack', '--status', 'active', '--long'), id)

  const shown = await clients.openstack('image', 'show', 'by openstack')
  t.equal(field(shown, 'id'), id)
  t.equal(field(shown, 'status'), 'active')
  t.equal(field(shown, 'size'), String(data.length))

  const set = [
    '--property',
    'os_distro=debian',
    '--tag',
    'tagged',
    '--min-disk',
    '1',
    '--name',
    'renamed',
    '--protected',
  ]
  await clients.openstack('image', 'set', ...set, id)
  const changed = await clients.openstack('image', 'show', 'renamed')
  t.equal(field(changed, 'min_disk'), '1')
  t.equal(field(changed, 'tags'), 'tagged')
  t.equal(field(changed, 'protected'), 'True')
  t.match(field(changed, 'properties'), "os_distro='debian'")
  await clients.openstack('image', 'unset', '--property', 'os_distro', '--tag', 'tagged', id)
  t.notMatch(await clients.openstack('image', 'show', id), 'os_distro')

  const back = join(scratch, 'openstack.raw')
  await clients.openstack('image', 'save', '--file', back, id)
  t.ok((await readFile(back)).equals(data))

  await t.rejects(clients.openstack('image', 'delete', id), /403|protected/)
  await clients.openstack('image', 'set', '--unprotected', '--deactivate', id)
  t.equal(field(await clients.openstack('image', 'show', id), 'status'), 'deactivated')
  await clients.openstack('image', 'set', '--activate', id)
  await clients.openstack('image', 'delete', id)
  await t.rejects(clients.openstack('image', 'show', id), /No Image found|404/)
})

t.test('glance: create from a file, list, show, update, download, tags, deactivate, delete', async (t) => {
  const id = field(await clients.glance('image-create', '--name', 'by glance', ...formats, '--file', file), 'id')
  t.match(await clients.glance('image-list'), id)
  t.match(await clients.glance('image-list', '--sort', 'name:asc', '--property-filter', 'name=by glance'), id)
  t.equal(field(await clients.glance('image-show', id), 'status'), 'active')
  t.equal(field(await clients.glance('image-update', id, '--property', 'a=b', '--os-version', '12'), 'a'), 'b')
  t.notMatch(await clients.glance('image-update', id, '--remove-property', 'a'), /\| a +\|/)

  const back = join(scratch, 'glance.raw')
  await clients.glance('image-download', '--file', back, id)
  t.ok((await readFile(back)).equals(data))

  await clients.glance('image-tag-update', id, 'tagged')
  t.match(await clients.glance('image-show', id), 'tagged')
  await clients.glance('image-tag-delete', id, 'tagged')
  await clients.glance('image-deactivate', id)
  t.equal(field(await clients.glance('image-show', id), 'status'), 'deactivated')
  await clients.glance('image-reactivate', id)
  await clients.glance('image-delete', id)
  await t.rejects(clients.glance('image-show', id), /404|No image found|not found/i)
})

t.test('an image is created first and given its data later', async (t) => {
  const id = field(await clients.glance('image-create', '--name', 'later', ...formats), 'id')
  t.equal(field(await clients.glance('image-show', id), 'status'), 'queued')
  await clients.glance('image-upload', '--file', file, id)
  t.equal(field(await clients.glance('image-show', id), 'status'), 'active')
})

t.test('an object that swift uploaded becomes an image by its location', async (t) => {
  await clients.swift('upload', 'disks', file, '--object-name', 'disk.raw')
  const account = /Account: (\S+)/.exec(await clients.swift('stat'))?.[1]
  const url = `swift://${account}/disks/disk.raw`
  const id = field(await clients.glance('image-create', '--name', 'registered', ...formats), 'id')
  const added = await clients.glance('location-add', '--url', url, id)
  t.equal(field(added, 'status'), 'active')
  t.equal(field(added, 'size'), String(data.length))
  const back = join(scratch, 'registered.raw')
  await clients.glance('image-download', '--file', back, id)
  t.ok((await readFile(back)).equals(data))

  const other = field(await clients.glance('image-create', '--name', 'wrong', ...formats), 'id')
  const wrong = ['--checksum', 'f'.repeat(32), '--hash-algo', 'sha256', '--hash-value', 'f'.repeat(64)]
  await t.rejects(clients.glance('location-add', '--url', url, ...wrong, other), /400|md5|checksum/i)
  t.equal(field(await clients.glance('image-show', other), 'status'), 'queued')
})

t.test('a long list comes in pages', async (t) => {
  const session = await server.login()
  for (let i = 0; i < 30; i++)
    await session.ask('/image/v2/images', { method: 'POST', json: { name: `page-${String(i).padStart(2, '0')}` } })
  const listed = await clients.glance('image-list', '--page-size', '7', '--sort', 'name:asc')
  t.equal(listed.match(/page-\d\d/g)?.length, 30)
  const all = await clients.openstack('image', 'list', '--page-size', '7')
  t.equal(all.match(/page-\d\d/g)?.length, 30)
})

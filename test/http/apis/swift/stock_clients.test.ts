// Object storage as python-swiftclient and python-openstackclient use it.

import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startServer } from '../../../../testkit/server.js'
import { StockClients } from '../../../../testkit/stock_clients.js'

t.setTimeout(600_000)

const server = await startServer(t)
const alice = await server.createUser({ name: 'alice', project: 'blue' })
const session = await server.login(alice)
const clients = new StockClients(server.environment(alice), (line) => t.comment(`$ ${line}`))
const scratch = await mkdtemp(join(tmpdir(), 'atoll-objects-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))

const big = randomBytes(9 * 1024 * 1024 + 17)
await mkdir(join(scratch, 'd'))
await writeFile(join(scratch, 'big.bin'), big)
await writeFile(join(scratch, 'd', 'ü €.txt'), 'small')

t.test('swift: upload a file and a directory, list, stat, download', async (t) => {
  await clients.swift('upload', 'box', join(scratch, 'big.bin'), '--object-name', 'big.bin')
  await clients.swift('upload', 'box', join(scratch, 'd'), '--object-name', 'dir')
  t.same((await clients.swift('list')).split('\n'), ['box'])
  t.same((await clients.swift('list', 'box')).split('\n').sort(), ['big.bin', 'dir/ü €.txt'])
  t.match(await clients.swift('list', 'box', '--prefix', 'dir', '--delimiter', '/'), 'dir/')
  t.match(await clients.swift('list', '--long', 'box'), /9437201.*application\/octet-stream big\.bin/)
  t.match(await clients.swift('stat', 'box', 'big.bin'), /Content Length: 9437201/)
  t.match(await clients.swift('stat', 'box', 'big.bin'), /Meta Mtime: \d+\.\d+/)
  t.match(await clients.swift('stat', 'box'), /Objects: 2/)
  t.match(await clients.swift('stat'), /Containers: 1/)
  await clients.swift('download', 'box', '--output-dir', join(scratch, 'down'))
  t.ok(big.equals(await readFile(join(scratch, 'down', 'big.bin'))))
  t.equal(await readFile(join(scratch, 'down', 'dir', 'ü €.txt'), 'utf8'), 'small')
})

t.test('swift: what is there already is not uploaded again', async (t) => {
  const again = ['upload', 'box', join(scratch, 'big.bin'), '--object-name', 'big.bin']
  const before = (await session.ask('box/big.bin', { method: 'HEAD' })).headers['x-timestamp']
  await clients.swift(...again, '--changed')
  await clients.swift(...again, '--skip-identical')
  t.equal((await session.ask('box/big.bin', { method: 'HEAD' })).headers['x-timestamp'], before)
})

t.test('swift: metadata on account, container and object', async (t) => {
  await clients.swift('post', '-m', 'City:Paris')
  await clients.swift('post', 'box', '-m', 'Color:blue')
  await clients.swift('post', 'box', 'big.bin', '-m', 'Kind:disk', '-H', 'Content-Type: x/y')
  t.match(await clients.swift('stat'), /Meta City: Paris/)
  t.match(await clients.swift('stat', 'box'), /Meta Color: blue/)
  t.match(await clients.swift('stat', 'box', 'big.bin'), /Content Type: x\/y[\s\S]*Meta Kind: disk/)
})

t.test('swift: copy, with and without the metadata', async (t) => {
  await clients.swift('copy', '-d', '/other/kept', 'box', 'big.bin')
  await clients.swift('copy', '-d', '/other/fresh', '--fresh-metadata', '-m', 'New:1', 'box', 'big.bin')
  t.match((await session.ask('other/kept', { method: 'HEAD' })).headers, { 'x-object-meta-kind': 'disk' })
  const { headers } = await session.ask('other/fresh', { method: 'HEAD' })
  t.equal(headers['x-object-meta-kind'], undefined)
  t.equal(headers['x-object-meta-new'], '1')
})

t.test('swift: logs in the old way too, and reads /info', async (t) => {
  const old = ['-V', '1', '-A', `${server.url}/auth/v1.0`, '-U', 'blue:alice', '-K', alice.password]
  t.match(await clients.swift(...old, 'list'), 'box')
  t.match(await clients.swift('capabilities'), /max_object_name_length: 1024/)
})

t.test('swift: delete an object, a container, everything', async (t) => {
  await clients.swift('delete', 'box', 'big.bin')
  t.equal((await session.ask('box/big.bin')).status, 404)
  await clients.swift('delete', 'other')
  t.equal((await session.ask('other')).status, 404)
  await clients.swift('delete', '--all')
  t.equal(await clients.swift('list'), '')
})

t.test('openstack: containers and objects, create to delete', async (t) => {
  t.match(await clients.openstack('container', 'create', 'crate'), `AUTH_${session.projectId}`)
  t.match(await clients.openstack('container', 'list'), 'crate')
  const file = join(scratch, 'big.bin')
  t.match(await clients.openstack('object', 'create', 'crate', file, '--name', 'disk'), /[0-9a-f]{32}/)
  t.match(await clients.openstack('object', 'list', 'crate', '--long'), /disk\s+\| 9437201/)
  await clients.openstack('object', 'set', '--property', 'kind=disk', 'crate', 'disk')
  t.match(await clients.openstack('object', 'show', 'crate', 'disk'), /kind='disk'/i)
  await clients.openstack('container', 'set', '--property', 'color=blue', 'crate')
  t.match(await clients.openstack('container', 'show', 'crate'), /color='blue'/i)
  const saved = join(scratch, 'saved')
  await clients.openstack('object', 'save', 'crate', 'disk', '--file', saved)
  t.ok(big.equals(await readFile(saved)))
  t.match(await clients.openstack('object', 'store', 'account', 'show'), /Containers\s+\| 1/)
  await t.rejects(clients.openstack('container', 'delete', 'crate'), /Conflict/)
  await clients.openstack('object', 'delete', 'crate', 'disk')
  await clients.openstack('container', 'delete', 'crate')
  t.equal((await session.ask('crate')).status, 404)
})

t.test('after everything was deleted no data is left', async (t) => {
  await server.core.settled()
  t.equal(await server.layers(), 0)
  t.equal(server.counters().openResources, 0)
})

import t from 'tap'
import { tool } from '../../../../testkit/nbd_tools.js'
import { startServer } from '../../../../testkit/server.js'
import { attach, call, createVolume, statusOf } from './support.js'

const server = await startServer(t, { nbd: true })
const alice = await server.login(await server.createUser({ name: 'alice' }))
const bob = await server.login(await server.createUser({ name: 'bob' }))
const instance = '11111111-2222-4333-8444-555555555555'

t.test('an attachment with a connector works at once, and no longer when it is deleted', async (t) => {
  const { id } = await createVolume(alice, { size: 2 })
  const answer = await call(alice, 'POST', '/attachments', {
    minor: 27,
    json: {
      attachment: { volume_uuid: id, instance_uuid: instance, connector: { host: 'h', mountpoint: '/dev/vdb' } },
    },
  })
  t.equal(answer.status, 200)
  const { attachment } = answer.json
  t.match(attachment, { status: 'attaching', instance, volume_id: id, attach_mode: 'rw' })
  const { uri, host, port, export: name } = attachment.connection_info
  t.match(attachment.connection_info, { driver_volume_type: 'nbd', access_mode: 'rw', attachment_id: attachment.id })
  t.equal(uri, `nbd://${host}:${port}/${name}`)
  t.match(await tool('nbdinfo', [uri]), /export-size: 2147483648/)

  const deleted = await call(alice, 'DELETE', `/attachments/${attachment.id}`, { minor: 27 })
  t.equal(deleted.status, 200)
  t.same(deleted.json, { attachments: [] })
  await t.rejects(tool('nbdinfo', [uri]))
  t.equal(await statusOf(alice, id), 'available')
  t.equal((await call(alice, 'GET', `/attachments/${attachment.id}`, { minor: 27 })).status, 404)
})

t.test('without a connector it reserves, with one it connects, and completed it is attached', async (t) => {
  const { id } = await createVolume(alice)
  const reserved = await attach(alice, id, { connector: null, instance_uuid: instance })
  t.match(reserved, { status: 'reserved', connection_info: null })
  t.equal(await statusOf(alice, id), 'reserved')

  const updated = await call(alice, 'PUT', `/attachments/${reserved.id}`, {
    minor: 27,
    json: { attachment: { connector: { host: 'h', mountpoint: '/dev/vdc' } } },
  })
  t.equal(updated.status, 200)
  t.equal(updated.json.attachment.status, 'attaching')
  await tool('nbdinfo', [updated.json.attachment.connection_info.uri])

  const complete = () =>
    call(alice, 'POST', `/attachments/${reserved.id}/action`, { minor: 44, json: { 'os-complete': null } })
  t.equal((await complete()).status, 204)
  t.equal((await call(alice, 'GET', `/attachments/${reserved.id}`, { minor: 27 })).json.attachment.status, 'attached')
  const { volume } = (await call(alice, 'GET', `/volumes/${id}`)).json
  t.match(volume, {
    status: 'in-use',
    attachments: [{ attachment_id: reserved.id, server_id: instance, device: '/dev/vdc' }],
  })
})

t.test('a read-only attachment refuses writes', async (t) => {
  const { id } = await createVolume(alice)
  const made = await attach(alice, id, { mode: 'ro' })
  t.equal(made.attach_mode, 'ro')
  t.match(await tool('nbdinfo', [made.connection_info.uri]), /is_read_only: true/)
})

t.test('attachments begin at 3.27, their completion at 3.44, their mode at 3.54', async (t) => {
  const { id } = await createVolume(alice)
  t.equal((await call(alice, 'GET', '/attachments', { minor: 26 })).status, 404)
  const early = await call(alice, 'POST', '/attachments', {
    minor: 53,
    json: { attachment: { volume_uuid: id, mode: 'ro' } },
  })
  t.equal(early.status, 400)
  const made = await attach(alice, id)
  const complete = await call(alice, 'POST', `/attachments/${made.id}/action`, {
    minor: 43,
    json: { 'os-complete': {} },
  })
  t.equal(complete.status, 404)
})

t.test('a volume that is attached is not attached again', async (t) => {
  const { id } = await createVolume(alice)
  await attach(alice, id, { instance_uuid: instance })
  const other = { volume_uuid: id, instance_uuid: instance.replace('1', '2'), connector: { host: 'x' } }
  t.equal((await call(alice, 'POST', '/attachments', { minor: 27, json: { attachment: other } })).status, 400)
  t.equal((await call(alice, 'DELETE', `/volumes/${id}`)).status, 400)
})

t.test('what is no attachment is refused', async (t) => {
  const { id } = await createVolume(alice)
  for (const attachment of [
    {},
    { volume_uuid: 'x' },
    { volume_uuid: id, instance_uuid: 'x' },
    { volume_uuid: id, connector: 'x' },
    { volume_uuid: id, mode: 'wo' },
    { volume_uuid: id, connector: { mode: 'wo' } },
    { volume_uuid: id, colour: 'red' },
  ]) {
    const answer = await call(alice, 'POST', '/attachments', { minor: 54, json: { attachment } })
    t.equal(answer.status, 400, JSON.stringify(attachment))
  }
  const made = await attach(alice, id)
  for (const connector of [{}, null, 'x', undefined]) {
    const answer = await call(alice, 'PUT', `/attachments/${made.id}`, {
      minor: 27,
      json: { attachment: { connector } },
    })
    t.equal(answer.status, 400, JSON.stringify(connector))
  }
})

t.test('another project’s attachments are neither found nor listed', async (t) => {
  const { id } = await createVolume(alice)
  const made = await attach(alice, id)
  t.equal((await call(bob, 'GET', `/attachments/${made.id}`, { minor: 27 })).status, 404)
  t.equal((await call(bob, 'DELETE', `/attachments/${made.id}`, { minor: 27 })).status, 404)
  t.same((await call(bob, 'GET', '/attachments?all_tenants=1', { minor: 27 })).json.attachments, [])
  const json = { attachment: { volume_uuid: id, connector: { host: 'h' } } }
  t.equal((await call(bob, 'POST', '/attachments', { minor: 27, json })).status, 404)
  const mine = (await call(alice, 'GET', `/attachments?volume_id=${id}`, { minor: 27 })).json.attachments
  t.same(
    mine.map((attachment: { id: string }) => attachment.id),
    [made.id],
  )
})

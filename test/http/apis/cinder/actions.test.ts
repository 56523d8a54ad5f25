import t from 'tap'
import { tool } from '../../../../testkit/nbd_tools.js'
import { startServer } from '../../../../testkit/server.js'
import { act, attach, call, createVolume, statusOf } from './support.js'

const server = await startServer(t, { nbd: true })
const admin = await server.login()
const alice = await server.login(await server.createUser({ name: 'alice' }))

t.test('a volume grows and does not shrink', async (t) => {
  const { id } = await createVolume(alice, { size: 2 })
  t.equal((await act(alice, id, { 'os-extend': { new_size: 5 } })).status, 202)
  t.equal((await call(alice, 'GET', `/volumes/${id}`)).json.volume.size, 5)
  for (const size of [5, 4, 0, 'x', null])
    t.equal((await act(alice, id, { 'os-extend': { new_size: size } })).status, 400, String(size))
})

t.test('a volume in use grows from 3.42 on', async (t) => {
  const { id } = await createVolume(alice)
  const { id: attachmentId } = await attach(alice, id)
  await call(alice, 'POST', `/attachments/${attachmentId}/action`, { minor: 44, json: { 'os-complete': {} } })
  t.equal((await act(alice, id, { 'os-extend': { new_size: 2 } }, 41)).status, 400)
  t.equal((await act(alice, id, { 'os-extend': { new_size: 2 } }, 42)).status, 202)
})

t.test('a volume becomes an image without a byte written', async (t) => {
  const { id } = await createVolume(alice)
  const before = server.counters()
  const answer = await act(alice, id, { 'os-volume_upload_image': { image_name: 'of a volume', force: false } })
  const after = server.counters()
  t.equal(answer.status, 202)
  const body = answer.json['os-volume_upload_image']
  t.match(body, {
    id,
    image_name: 'of a volume',
    status: 'uploading',
    size: 1,
    disk_format: 'raw',
    container_format: 'bare',
  })
  t.notOk('visibility' in body)
  t.equal(after.bytesWritten, before.bytesWritten)
  t.match((await alice.ask(`/image/v2/images/${body.image_id}`)).json, {
    status: 'active',
    size: 2 ** 30,
    name: 'of a volume',
  })
})

t.test('the image of a volume has a visibility from 3.1 on, and no other format than raw', async (t) => {
  const { id } = await createVolume(alice)
  const upload = (extra: Record<string, unknown>, minor: number) =>
    act(alice, id, { 'os-volume_upload_image': { image_name: 'i', ...extra } }, minor)
  t.equal((await upload({ visibility: 'private' }, 0)).status, 400)
  t.match((await upload({ visibility: 'community', protected: 'True' }, 1)).json, {
    'os-volume_upload_image': { visibility: 'community', protected: true },
  })
  t.equal((await upload({ disk_format: 'qcow2' }, 1)).status, 400)
  t.equal((await upload({ visibility: 'public' }, 1)).status, 403)
})

t.test('a volume is marked bootable and read-only', async (t) => {
  const { id } = await createVolume(alice)
  t.equal((await act(alice, id, { 'os-set_bootable': { bootable: 'True' } })).status, 200)
  t.equal((await act(alice, id, { 'os-update_readonly_flag': { readonly: true } })).status, 202)
  const { volume } = (await call(alice, 'GET', `/volumes/${id}`)).json
  t.match(volume, { bootable: 'true', metadata: { readonly: 'True' } })
})

t.test('an administrator sets states and deletes by force', async (t) => {
  const { id } = await createVolume(alice)
  t.equal((await act(alice, id, { 'os-reset_status': { status: 'error' } })).status, 403)
  t.equal((await act(admin, id, { 'os-reset_status': { status: 'error' } })).status, 202)
  t.equal(await statusOf(alice, id), 'error')
  t.equal((await act(admin, id, { 'os-reset_status': { status: 'happy' } })).status, 400)
  t.equal((await act(admin, id, { 'os-reset_status': {} })).status, 400)
  await act(admin, id, { 'os-reset_status': { status: 'maintenance' } })
  t.equal((await call(alice, 'DELETE', `/volumes/${id}`)).status, 400)
  t.equal((await act(alice, id, { 'os-force_delete': null })).status, 403)
  t.equal((await act(admin, id, { 'os-force_delete': {} })).status, 202)
  t.equal((await call(alice, 'GET', `/volumes/${id}`)).status, 404)
})

t.test('what is known of a volume’s image is shown, added to and taken away', async (t) => {
  const { id } = await createVolume(alice)
  const set = await act(alice, id, { 'os-set_image_metadata': { metadata: { os_distro: 'debian', k: 'v' } } })
  t.same(set.json, { metadata: { os_distro: 'debian', k: 'v' } })
  t.equal((await act(alice, id, { 'os-unset_image_metadata': { key: 'k' } })).status, 200)
  t.equal((await act(alice, id, { 'os-unset_image_metadata': { key: 'k' } })).status, 404)
  t.same((await act(alice, id, { 'os-show_image_metadata': null })).json, { metadata: { os_distro: 'debian' } })
  t.same((await call(alice, 'GET', `/volumes/${id}`)).json.volume.volume_image_metadata, { os_distro: 'debian' })
})

t.test('an unknown action and one that Atoll does not support are 400 with the name of the action', async (t) => {
  const { id } = await createVolume(alice)
  t.match((await act(alice, id, { 'os-dance': {} })).json, {
    badRequest: { message: 'There is no such action: os-dance' },
  })
  t.equal((await act(alice, id, {})).status, 400)
  t.equal((await act(alice, id, { constructor: {} })).status, 400)
  t.equal((await act(alice, id, { 'os-reserve': null, 'os-unreserve': null })).status, 400)
  t.match((await act(alice, id, { 'os-retype': { new_type: 'x' } })).json, {
    badRequest: { code: 400, message: 'Atoll does not support the action os-retype' },
  })
})

t.test('what a reset cannot set is refused, not ignored', async (t) => {
  const { id } = await createVolume(alice)
  const reset = async (argument: Record<string, unknown>) =>
    (await act(admin, id, { 'os-reset_status': argument })).status
  t.equal(await reset({ attach_status: 'detached' }), 202, 'as it is')
  t.equal(await reset({ attach_status: 'attached' }), 400)
  t.equal(await reset({ attach_status: 'nearly' }), 400)
  t.equal(await reset({ migration_status: 'none' }), 202)
  t.equal(await reset({ migration_status: 'success' }), 400)
  t.equal(await reset({ status: 'error', attach_status: 'attached' }), 400)
  t.equal(await statusOf(alice, id), 'available', 'nothing was set')
  const { id: attachmentId } = await attach(alice, id)
  await call(alice, 'POST', `/attachments/${attachmentId}/action`, { minor: 44, json: { 'os-complete': {} } })
  t.equal(await reset({ attach_status: 'detached' }), 400, 'there is os-force_detach')
  t.equal(await reset({ status: 'error', attach_status: 'attached' }), 202)
  t.equal(await statusOf(alice, id), 'error')
})

const instance = '11111111-2222-4333-8444-555555555555'

t.test('the older way of attaching goes through its states, and back', async (t) => {
  const { id } = await createVolume(alice)
  const connector = { host: 'machine', ip: '192.0.2.1' }
  t.equal((await act(alice, id, { 'os-reserve': null })).status, 202)
  t.equal(await statusOf(alice, id), 'attaching')
  t.equal((await act(alice, id, { 'os-reserve': null })).status, 400)

  const connection = await act(alice, id, { 'os-initialize_connection': { connector } })
  t.equal(connection.status, 200)
  const { connection_info: info } = connection.json
  t.match(info, { driver_volume_type: 'nbd', data: { uri: /^nbd:\/\//, access_mode: 'rw', volume_id: id } })
  await tool('nbdinfo', [info.data.uri])

  const attached = await act(alice, id, {
    'os-attach': { instance_uuid: instance, mountpoint: '/dev/vdb', mode: 'rw' },
  })
  t.equal(attached.status, 202)
  const { volume } = (await call(alice, 'GET', `/volumes/${id}`)).json
  t.match(volume, {
    status: 'in-use',
    attachments: [{ server_id: instance, device: '/dev/vdb', volume_id: id, id, host_name: null }],
  })
  t.equal(volume.attachments.length, 1)

  t.equal((await act(alice, id, { 'os-begin_detaching': null })).status, 202)
  t.equal(await statusOf(alice, id), 'detaching')
  t.equal((await act(alice, id, { 'os-roll_detaching': null })).status, 202)
  t.equal(await statusOf(alice, id), 'in-use')
  await act(alice, id, { 'os-begin_detaching': null })
  t.equal((await act(alice, id, { 'os-terminate_connection': { connector } })).status, 202)
  t.equal((await act(alice, id, { 'os-detach': { attachment_id: volume.attachments[0].attachment_id } })).status, 202)
  t.equal(await statusOf(alice, id), 'available')
  await t.rejects(tool('nbdinfo', [info.data.uri]))
})

t.test('a reservation is given back', async (t) => {
  const { id } = await createVolume(alice)
  await act(alice, id, { 'os-reserve': null })
  t.equal((await act(alice, id, { 'os-unreserve': null })).status, 202)
  t.equal(await statusOf(alice, id), 'available')
})

t.test('a connection that is terminated before it was used leaves nothing', async (t) => {
  const { id } = await createVolume(alice)
  await act(alice, id, { 'os-reserve': null })
  const connector = { host: 'machine' }
  const { data } = (await act(alice, id, { 'os-initialize_connection': { connector } })).json.connection_info
  t.equal((await act(alice, id, { 'os-terminate_connection': { connector } })).status, 202)
  await t.rejects(tool('nbdinfo', [data.uri]))
  await act(alice, id, { 'os-unreserve': null })
  t.equal(await statusOf(alice, id), 'available')
  t.same((await call(alice, 'GET', `/attachments?volume_id=${id}`, { minor: 27 })).json.attachments, [])
})

t.test('a volume is attached to a machine or a host by name alone', async (t) => {
  const { id } = await createVolume(alice)
  for (const argument of [{ mountpoint: '/x' }, { instance_uuid: instance }, { instance_uuid: 'x', mountpoint: '/x' }])
    t.equal((await act(alice, id, { 'os-attach': argument })).status, 400, JSON.stringify(argument))
  t.equal((await act(alice, id, { 'os-attach': { host_name: 'h', mountpoint: '/mnt', mode: 'ro' } })).status, 202)
  t.equal(await statusOf(alice, id), 'in-use')
  t.equal((await act(alice, id, { 'os-detach': {} })).status, 202)
  t.equal(await statusOf(alice, id), 'available')
})

t.test('an administrator detaches by force', async (t) => {
  const { id } = await createVolume(alice)
  const { id: attachmentId } = await attach(alice, id)
  const force = (session: typeof alice) => act(session, id, { 'os-force_detach': { attachment_id: attachmentId } })
  t.equal((await force(alice)).status, 403)
  t.equal((await force(admin)).status, 202)
  t.equal(await statusOf(alice, id), 'available')
})

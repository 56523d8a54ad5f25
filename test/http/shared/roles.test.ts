// Who may do what: each action by an administrator, a member and a reader of the project it is about, and a member of another one.

import t from 'tap'
import { type Session, startServer } from '../../../testkit/server.js'
import { act, attach, call, createSnapshot, createVolume } from '../apis/cinder/support.js'
import { createImage, patch, upload } from '../apis/glance/support.js'

const server = await startServer(t, { nbd: true })
const admin = await server.login()
const member = await server.login(await server.createUser({ name: 'member', project: 'ours' }))
const reader = await server.login(await server.createUser({ name: 'reader', role: 'reader', project: 'ours' }))
const stranger = await server.login(await server.createUser({ name: 'stranger' }))
const sessions = { admin, member, reader, stranger }
type Role = keyof typeof sessions

/** Status by role. */
type Expected = Record<Role, number>
const by = (admin: number, member: number, reader: number, stranger: number): Expected => ({
  admin,
  member,
  reader,
  stranger,
})

interface Row {
  what: string
  /** Made for each try anew. */
  subject?: () => Promise<string>
  act: (session: Session, id: string) => Promise<{ status: number; text: string }>
  expected: Expected
}

const volume = async (): Promise<string> => (await createVolume(member)).id
const snapshot = async (): Promise<string> => (await createSnapshot(member, await volume())).id
const attached = async (): Promise<string> => {
  const id = await volume()
  const { id: attachment } = await attach(member, id)
  const complete = { minor: 44, json: { 'os-complete': {} } }
  const { status } = await call(member, 'POST', `/attachments/${attachment}/action`, complete)
  if (status !== 204) throw new Error(`os-complete: ${status}`)
  return id
}
/** Attached, whatever the volume's own state says. */
const attachedInError = async (): Promise<string> => {
  const id = await attached()
  await act(admin, id, { 'os-reset_status': { status: 'error' } })
  return id
}
const inState = (status: string) => async (): Promise<string> => {
  const id = await volume()
  await act(admin, id, { 'os-reset_status': { status } })
  return id
}
const queued = async (): Promise<string> => (await createImage(member, { visibility: 'private' })).id
const active = async (): Promise<string> => {
  const id = await queued()
  await upload(member, id, Buffer.from('data'))
  return id
}
const deactivated = async (): Promise<string> => {
  const id = await active()
  await admin.ask(`/image/v2/images/${id}/actions/deactivate`, { method: 'POST' })
  return id
}
const image = (session: Session, id: string, method: string, below = '') =>
  session.ask(`/image/v2/images/${id}${below}`, { method })
const newImage = (session: Session, members: Record<string, unknown>) =>
  session.ask('/image/v2/images', { method: 'POST', json: members })
const replace = (session: Session, id: string, name: string, value: unknown) =>
  patch(session, id, [{ op: 'replace', path: `/${name}`, value }])

const rows: Row[] = [
  // ---- block storage: for administrators ----
  {
    what: 'os-reset_status',
    subject: volume,
    act: (session, id) => act(session, id, { 'os-reset_status': { status: 'error' } }),
    expected: by(202, 403, 403, 403),
  },
  {
    what: 'os-force_delete',
    subject: inState('maintenance'),
    act: (session, id) => act(session, id, { 'os-force_delete': {} }),
    expected: by(202, 403, 403, 404),
  },
  {
    what: 'os-force_delete of an attached volume',
    subject: attached,
    act: (session, id) => act(session, id, { 'os-force_delete': {} }),
    expected: by(400, 403, 403, 404),
  },
  {
    what: 'DELETE with force',
    subject: inState('maintenance'),
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}?force=true`, { minor: 23 }),
    expected: by(202, 403, 403, 404),
  },
  {
    what: 'DELETE with force of an attached volume',
    subject: attached,
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}?force=true&cascade=true`, { minor: 23 }),
    expected: by(400, 403, 403, 404),
  },
  {
    what: 'DELETE with force, before there was such a thing',
    subject: volume,
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}?force=true`, { minor: 22 }),
    expected: by(400, 400, 400, 400),
  },
  {
    what: 'DELETE of an attached volume',
    subject: attached,
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}`),
    expected: by(400, 400, 403, 404),
  },
  {
    what: 'DELETE of an attached volume whose state was reset',
    subject: attachedInError,
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}`),
    expected: by(400, 400, 403, 404),
  },
  {
    what: 'DELETE',
    subject: volume,
    act: (session, id) => call(session, 'DELETE', `/volumes/${id}`),
    expected: by(202, 202, 403, 404),
  },
  {
    what: 'os-force_detach',
    subject: attached,
    act: (session, id) => act(session, id, { 'os-force_detach': {} }),
    expected: by(202, 403, 403, 403),
  },
  {
    what: 'os-force_delete of a snapshot',
    subject: snapshot,
    act: (session, id) => call(session, 'POST', `/snapshots/${id}/action`, { json: { 'os-force_delete': {} } }),
    expected: by(202, 403, 403, 403),
  },
  {
    what: 'os-volume_upload_image to a public image',
    subject: volume,
    act: (session, id) => act(session, id, { 'os-volume_upload_image': { image_name: 'i', visibility: 'public' } }, 1),
    expected: by(202, 403, 403, 404),
  },
  {
    what: 'os-unmanage is not supported',
    subject: volume,
    act: (session, id) => act(session, id, { 'os-unmanage': {} }),
    expected: by(400, 400, 400, 400),
  },
  {
    what: 'limits of a named project',
    act: (session) => call(session, 'GET', `/limits?project_id=${member.projectId}`),
    expected: by(200, 200, 200, 403),
  },
  {
    what: 'quotas of a named project',
    act: (session) => call(session, 'GET', `/os-quota-sets/${member.projectId}?usage=true`),
    expected: by(200, 200, 200, 403),
  },
  {
    what: 'a change of quotas is not supported',
    act: (session) => call(session, 'PUT', `/os-quota-sets/${member.projectId}`, { json: { quota_set: {} } }),
    expected: by(400, 400, 400, 400),
  },
  {
    what: 'services',
    act: (session) => call(session, 'GET', '/os-services'),
    expected: by(200, 403, 403, 403),
  },
  {
    what: 'pools',
    act: (session) => call(session, 'GET', '/scheduler-stats/get_pools'),
    expected: by(200, 403, 403, 403),
  },

  // ---- block storage: for members ----
  ...[
    { 'os-reserve': null },
    { 'os-unreserve': null },
    { 'os-extend': { new_size: 2 } },
    { 'os-set_bootable': { bootable: true } },
    { 'os-update_readonly_flag': { readonly: true } },
    { 'os-set_image_metadata': { metadata: { a: 'b' } } },
    { 'os-initialize_connection': { connector: { host: 'h' } } },
    { 'os-attach': { host_name: 'h', mountpoint: '/mnt' } },
    { 'os-terminate_connection': { connector: { host: 'h' } } },
    { 'os-detach': {} },
    { 'os-roll_detaching': null },
    { 'os-volume_upload_image': { image_name: 'i' } },
  ].map((action) => {
    const [name = ''] = Object.keys(action)
    const done = ['os-set_bootable', 'os-set_image_metadata', 'os-initialize_connection'].includes(name) ? 200 : 202
    return {
      what: name,
      subject: volume,
      act: (session: Session, id: string) => act(session, id, action),
      expected: by(done, done, 403, 404),
    }
  }),
  {
    what: 'os-begin_detaching',
    subject: attached,
    act: (session, id) => act(session, id, { 'os-begin_detaching': null }),
    expected: by(202, 202, 403, 404),
  },
  {
    what: 'metadata of a volume',
    subject: volume,
    act: (session, id) => call(session, 'POST', `/volumes/${id}/metadata`, { json: { metadata: { a: 'b' } } }),
    expected: by(200, 200, 403, 404),
  },
  {
    what: 'metadata of a snapshot',
    subject: snapshot,
    act: (session, id) => call(session, 'POST', `/snapshots/${id}/metadata`, { json: { metadata: { a: 'b' } } }),
    expected: by(200, 200, 403, 404),
  },

  // ---- images ----
  {
    what: 'a public image is made',
    act: (session) => newImage(session, { visibility: 'public' }),
    expected: by(201, 403, 403, 403),
  },
  {
    what: 'an image is made public',
    subject: active,
    act: (session, id) => replace(session, id, 'visibility', 'public'),
    expected: by(200, 403, 403, 404),
  },
  {
    what: 'an image is made for another project',
    act: (session) =>
      newImage(session, { owner: admin.projectId === session.projectId ? member.projectId : admin.projectId }),
    expected: by(201, 403, 403, 403),
  },
  {
    what: 'an image is given to another project',
    subject: queued,
    act: (session, id) => replace(session, id, 'owner', stranger.projectId),
    expected: by(200, 403, 403, 404),
  },
  {
    what: 'an image is deactivated',
    subject: active,
    act: (session, id) => image(session, id, 'POST', '/actions/deactivate'),
    expected: by(204, 204, 403, 404),
  },
  {
    what: 'a deactivated image is activated',
    subject: deactivated,
    act: (session, id) => image(session, id, 'POST', '/actions/reactivate'),
    expected: by(204, 204, 403, 404),
  },
  {
    what: 'the data of a deactivated image',
    subject: deactivated,
    act: (session, id) => image(session, id, 'GET', '/file'),
    expected: by(200, 403, 403, 404),
  },
  ...['disk_format', 'container_format'].flatMap((name) =>
    [
      { state: 'an active image', subject: active, expected: by(403, 403, 403, 404) },
      { state: 'a deactivated image', subject: deactivated, expected: by(403, 403, 403, 404) },
      { state: 'a queued image', subject: queued, expected: by(200, 200, 403, 404) },
    ].map(({ state, subject, expected }) => ({
      what: `${name} of ${state} is changed`,
      subject,
      act: (session: Session, id: string) => replace(session, id, name, name === 'disk_format' ? 'qcow2' : 'ovf'),
      expected,
    })),
  ),
  {
    what: 'the location of an image is removed',
    subject: active,
    act: (session, id) => patch(session, id, [{ op: 'remove', path: '/locations/0' }]),
    expected: by(403, 403, 403, 404),
  },
  {
    what: 'a tag is added',
    subject: queued,
    act: (session, id) => image(session, id, 'PUT', '/tags/t'),
    expected: by(204, 204, 403, 404),
  },
  {
    what: 'an image is deleted',
    subject: active,
    act: (session, id) => image(session, id, 'DELETE'),
    expected: by(204, 204, 403, 404),
  },
]

for (const row of rows) {
  t.test(`${row.what}: by an administrator, a member, a reader and a stranger`, async (t) => {
    for (const [role, session] of Object.entries(sessions)) {
      const answer = await row.act(session, (await row.subject?.()) ?? '')
      t.equal(answer.status, row.expected[role as Role], `${role}: ${answer.text.slice(0, 200)}`)
    }
  })
}

t.test('lists across projects are for administrators; others see their own project, or are refused', async (t) => {
  const id = await volume()
  const snapshotId = await snapshot()
  for (const [path, member, ours] of [
    ['/volumes', 'volumes', id],
    ['/volumes/detail', 'volumes', id],
    ['/snapshots', 'snapshots', snapshotId],
    ['/snapshots/detail', 'snapshots', snapshotId],
  ] as const) {
    const sees = async (session: Session, query: string) => {
      const { status, json } = await call(session, 'GET', `${path}?limit=1000&${query}`)
      return status === 200 ? json[member].some((one: { id: string }) => one.id === ours) : status
    }
    t.equal(await sees(admin, 'all_tenants=1'), true, path)
    t.equal(await sees(stranger, 'all_tenants=1'), false, path)
    t.not(await sees(stranger, `all_tenants=1&project_id=${sessions.member.projectId}`), true, path)
  }
})

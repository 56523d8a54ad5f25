// An export name is a bearer secret: whoever knows it can write to the volume. No answer gives it to a caller who may not write.

import { pino } from 'pino'
import t from 'tap'
import { type Answer, ask, type Question } from '../../../testkit/http.js'
import { addRole, type Session, startServer } from '../../../testkit/server.js'
import { attach, createSnapshot, createVolume } from '../apis/cinder/support.js'

const lines: string[] = []
const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
const server = await startServer(t, { nbd: true, log })
const member = await server.login(await server.createUser({ name: 'member', project: 'blue' }))
const admin = await server.login()
const volume = await createVolume(member)
const snapshot = await createSnapshot(member, volume.id)
const attachment = await attach(member, volume.id)
const secret: string = attachment.connection_info.export
const image = (await member.ask('/image/v2/images', { method: 'POST', json: { visibility: 'community' } })).json
await member.ask('box', { method: 'PUT' })
await member.ask('box/o', { method: 'PUT', body: 'x' })

await addRole(server.core, 'auditor')
const withoutWrite: Record<string, Session | undefined> = {
  'no token': undefined,
  'a reader': await server.login(await server.createUser({ name: 'reader', project: 'blue', role: 'reader' })),
  'a role of another name': await server.login(
    await server.createUser({ name: 'auditor', project: 'blue', role: 'auditor' }),
  ),
  'a member of another project': await server.login(await server.createUser({ name: 'other', project: 'green' })),
}

/** What stands in a path after a segment of this name. */
const ids: Record<string, string> = {
  v3: member.projectId,
  projects: member.projectId,
  'os-quota-sets': member.projectId,
  users: member.userId,
  volumes: volume.id,
  snapshots: snapshot.id,
  attachments: attachment.id,
  images: image.id,
}

function withIds(path: string): string {
  const segments = path.split('/')
  return segments.map((segment, i) => (segment === 'ID' ? (ids[segments[i - 1] ?? ''] ?? 'x') : segment)).join('/')
}

const connector = { host: 'h' }
const actions: Record<string, unknown> = {
  'os-initialize_connection': { connector },
  'os-terminate_connection': { connector },
  'os-attach': { mountpoint: '/dev/vdb', host_name: 'h' },
  'os-reserve': null,
  'os-unreserve': null,
  'os-begin_detaching': null,
  'os-roll_detaching': null,
  'os-detach': { attachment_id: attachment.id },
  'os-force_detach': { attachment_id: attachment.id },
  'os-extend': { new_size: 2 },
  'os-reset_status': { status: 'available' },
  'os-force_delete': null,
  'os-show_image_metadata': null,
  'os-set_image_metadata': { metadata: { a: 'b' } },
  'os-volume_upload_image': { image_name: 'i', force: true },
  'os-complete': null,
}

/** Bodies that get past validation, where the path takes one that could make the server answer with a connection. */
function bodiesFor(path: string): unknown[] {
  if (path.endsWith('/action')) return Object.entries(actions).map(([name, argument]) => ({ [name]: argument }))
  if (/\/attachments$/.test(path)) return [{ attachment: { volume_uuid: volume.id, connector } }]
  if (/\/attachments\//.test(path)) return [{ attachment: { connector } }]
  if (/\/volumes$/.test(path)) return [{ volume: { size: 1, source_volid: volume.id } }]
  if (/\/snapshots$/.test(path)) return [{ snapshot: { volume_id: volume.id, force: true } }]
  return [{}]
}

const paths = [
  ...new Set(server.routes().map(withIds)),
  `/v1/AUTH_${member.projectId}`,
  `/v1/AUTH_${member.projectId}/box`,
  `/v1/AUTH_${member.projectId}/box/o`,
  `/volume/v3/${member.projectId}/attachments/detail?all_tenants=1`,
  `/volume/v3/${member.projectId}/volumes/detail?all_tenants=1`,
  `/volume/v3/attachments/detail?project_id=${member.projectId}&all_tenants=1`,
]

const askAs = (session: Session | undefined, path: string, question: Question): Promise<Answer> => {
  const headers = { 'openstack-api-version': 'volume 3.70', ...question.headers }
  return session === undefined
    ? ask(`${server.url}${path}`, { ...question, headers })
    : session.ask(path, { ...question, headers })
}

const holds = (answer: Answer) => `${JSON.stringify(answer.headers)}${answer.text}`.includes(secret)

for (const [who, session] of Object.entries(withoutWrite)) {
  t.test(`no answer of any route gives an export name to ${who}`, async (t) => {
    let asked = 0
    for (const path of paths) {
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        t.notOk(holds(await askAs(session, path, { method })), `${method} ${path}`)
        asked++
      }
      for (const method of ['POST', 'PUT', 'PATCH']) {
        for (const json of bodiesFor(path)) {
          t.notOk(holds(await askAs(session, path, { method, json })), `${method} ${path} ${JSON.stringify(json)}`)
          asked++
        }
      }
    }
    t.ok(asked > 500, `${asked} requests`)
  })
}

t.test('whoever may write is given the export name, and nothing above changed it', async (t) => {
  for (const session of [member, admin]) {
    const project = session.projectId
    const shown = await askAs(session, `/volume/v3/${project}/attachments/${attachment.id}`, {})
    t.ok(holds(shown))
    t.match(shown.json.attachment, { attach_mode: 'rw', connection_info: { export: secret } })
    t.ok(holds(await askAs(session, `/volume/v3/${project}/attachments/detail?all_tenants=1`, {})))
    const json = { 'os-initialize_connection': { connector } }
    t.ok(holds(await askAs(session, `/volume/v3/${project}/volumes/${volume.id}/action`, { method: 'POST', json })))
  }
})

t.test('a reader sees the attachment, without a way to connect to it', async (t) => {
  const reader = withoutWrite['a reader'] as Session
  const shown = await askAs(reader, `/volume/v3/${reader.projectId}/attachments/${attachment.id}`, {})
  t.equal(shown.status, 200)
  t.match(shown.json.attachment, { id: attachment.id, volume_id: volume.id, attach_mode: 'rw', connection_info: null })
  const json = { 'os-initialize_connection': { connector } }
  const connect = await askAs(reader, `/volume/v3/${reader.projectId}/volumes/${volume.id}/action`, {
    method: 'POST',
    json,
  })
  t.equal(connect.status, 403)
})

t.test('the log has no export name, no token and no password', async (t) => {
  const text = lines.join('')
  t.ok(lines.length > 1000, 'every request is logged')
  for (const each of [secret, member.token, admin.token, 'password-of-']) t.notOk(text.includes(each))
})

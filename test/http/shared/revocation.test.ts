// Taking rights away ends what is under way with them: NBD connections, uploads, downloads, requests whose body is still on its way.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import t from 'tap'
import { tool } from '../../../testkit/nbd_tools.js'
import { untilItSays } from '../../../testkit/process_output.js'
import { type Session, startServer } from '../../../testkit/server.js'
import { attach, createVolume } from '../apis/cinder/support.js'

const server = await startServer(t, { nbd: true })
const admin = await server.login()
const { identity } = server.core
const content = randomBytes(48 << 20)

const open = () => {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  return socket
}

const uploadHead = (session: Session, path: string) =>
  `PUT ${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n`

async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(chunks)
}

/** Reads the volume again and again, until it cannot. */
const reader = (uri: string) => `
import nbd, time
h = nbd.NBD()
h.connect_uri(${JSON.stringify(uri)})
h.pwrite(b'x' * 512, 0)
h.flush()
print('connected', flush=True)
try:
    while True:
        h.pread(512, 0)
        time.sleep(0.05)
except nbd.Error as error:
    print('ended', flush=True)
`

type Way = (session: Session) => Promise<unknown>
const assignmentOf = async ({ userId, projectId }: Session) => {
  const [found] = await identity.grants.assignments({ userId, projectId })
  if (found === undefined) throw new Error('no assignment')
  return { userId, projectId, roleId: found.role.id }
}
const ways: Record<string, Way> = {
  'taking the role away': async (session) => identity.grants.unassign(await assignmentOf(session)),
  'a role of less': async (session) => {
    const assignment = await assignmentOf(session)
    const [role] = await identity.roles.list({ name: 'reader' })
    await identity.grants.unassign(assignment)
    if (role !== undefined) await identity.grants.assign({ ...assignment, roleId: role.id })
  },
  'disabling the user': (session) =>
    admin.ask(`/v3/users/${session.userId}`, { method: 'PATCH', json: { user: { enabled: false } } }),
  'deleting the user': (session) => admin.ask(`/v3/users/${session.userId}`, { method: 'DELETE' }),
  'disabling the project': (session) =>
    admin.ask(`/v3/projects/${session.projectId}`, { method: 'PATCH', json: { project: { enabled: false } } }),
}

for (const [way, end] of Object.entries(ways)) {
  t.test(`${way} ends NBD connections, uploads and downloads under way`, async (t) => {
    const session = await server.login(await server.createUser({ name: way.replaceAll(' ', '-') }))
    await session.ask('box', { method: 'PUT' })
    t.equal((await session.ask('box/large', { method: 'PUT', body: content })).status, 201)
    const image = { name: 'i', disk_format: 'raw', container_format: 'bare' }
    const { id: imageId } = (await session.ask('/image/v2/images', { method: 'POST', json: image })).json
    const path = new URL(session.storageUrl).pathname

    const volume = await createVolume(session)
    const { uri } = (await attach(session, volume.id)).connection_info
    const client = execa('/usr/bin/python3', ['-c', reader(uri)])
    await untilItSays(client, /connected/)
    const clientEnds = untilItSays(client, /ended/)

    const layers = await server.layers()

    // One that stands still, one that moves; both have more than what is kept in memory.
    const uploads = [`${path}/box/new`, `/image/v2/images/${imageId}/file`].map((path) => {
      const socket = open()
      socket.write(uploadHead(session, path))
      socket.write('x'.repeat(200_000))
      return socket
    })
    const answers = uploads.map(everything)
    const moving = setInterval(() => uploads[1]?.write('x'), 20)

    const download = open()
    download.write(`GET ${path}/box/large HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\n\r\n`)
    await once(download, 'readable')

    await end(session)
    await clientEnds
    for (const answer of answers) t.match(String(await answer), /^HTTP\/1.1 40[13] /)
    clearInterval(moving)
    t.ok((await everything(download)).length < content.length, 'the download is cut')
    await t.rejects(tool('nbdinfo', [uri]), 'no new connection')
    while ((await server.layers()) > layers) await sleep(10)
  })
}

t.test('a request is judged again when its body has arrived', async (t) => {
  for (const [way, end] of Object.entries({
    ...ways,
    'revoking the token': (session: Session) => server.core.sessions.revoke(session.token),
  })) {
    const session = await server.login(await server.createUser({ name: `slow-${way.replaceAll(' ', '-')}` }))
    const body = JSON.stringify({ volume: { size: 1, name: `made after ${way}` } })
    const socket = open()
    const answer = everything(socket)
    socket.write(
      `POST /volume/v3/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Auth-Token: ${session.token}\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
    )
    // The handler waits for the body.
    await once(socket, 'data')
    await end(session)
    socket.write(body)
    t.match(String(await answer), /HTTP\/1.1 40[13] /, way)
  }
  const volumes = await server.core.catalog.db
    .selectFrom('volumes')
    .select('name')
    .where('name', 'is not', null)
    .execute()
  t.same(volumes, [])
})

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { BodyTooSlow } from '../../../src/http/shared/errors.js'
import { Pace } from '../../../src/http/shared/uploads.js'
import { startServer, type TestServer } from '../../../testkit/server.js'

type Session = Awaited<ReturnType<TestServer['login']>>

/** The head of an upload of `bytes` bytes, and what its session has to say. */
function head(session: Session, path: string, bytes: number, more = ''): string {
  const type = 'Content-Type: application/octet-stream\r\n'
  return `PUT ${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\n${type}Content-Length: ${bytes}\r\n${more}\r\n`
}

function open({ url }: TestServer): Socket {
  const { hostname, port } = new URL(url)
  return connect(Number(port), hostname)
}

const object = (session: Session, name: string) => `${new URL(session.storageUrl).pathname}/box/${name}`

/** All that comes until the server closes. */
async function everything(socket: Socket): Promise<string> {
  let text = ''
  for await (const bytes of socket) text += bytes
  return text
}

function only<Thing>(things: Thing[]): Thing {
  const [thing] = things
  if (thing === undefined || things.length > 1) throw new Error(`${things.length} things`)
  return thing
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(10)
}

t.test('an upload that drips is 408 and leaves nothing, in Swift and Glance; a steady one goes through', async (t) => {
  const server = await startServer(t, { limits: { idleMs: 700, uploadRate: 4000 } })
  const session = await server.login()
  await session.ask('box', { method: 'PUT' })
  const image = { name: 'i', disk_format: 'raw', container_format: 'bare' }
  const { id } = (await session.ask('/image/v2/images', { method: 'POST', json: image })).json
  const layers = await server.layers()
  for (const path of [object(session, 'slow'), `/image/v2/images/${id}/file`]) {
    const socket = open(server)
    socket.write(head(session, path, 100_000))
    // Never still for as long as the time limit, and yet too slow.
    const drip = setInterval(() => socket.write('x'), 50)
    socket.on('error', () => clearInterval(drip))
    const answer = await everything(socket)
    clearInterval(drip)
    t.match(answer, /^HTTP\/1.1 408/, path)
    t.match(answer, /connection: close/i, path)
    await until(async () => (await server.layers()) === layers)
  }
  t.equal((await session.ask('box/slow')).status, 404)
  // Ten times the least rate, for more than twice the time limit.
  const steady = open(server)
  steady.write(head(session, object(session, 'steady'), 80_000, 'Connection: close\r\n'))
  const answer = everything(steady)
  for (let sent = 0; sent < 80_000; sent += 2000) {
    steady.write(Buffer.alloc(2000, 'x'))
    await sleep(40)
  }
  t.match(await answer, /^HTTP\/1.1 201/)
})

t.test('only the time in which the client is waited for counts', async (t) => {
  const waitFor = <T>(pace: Pace, next: Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      pace.wait(() => reject(new BodyTooSlow()))
      void next.then(resolve)
    }).finally(() => pace.pause())
  const pace = new Pace({ bytesPerSecond: 1, idleMs: 60 })
  for (let i = 0; i < 5; i++) {
    t.equal(await waitFor(pace, Promise.resolve(i)), i)
    await sleep(50) // we are slow, not the client
  }
  await t.rejects(waitFor(pace, new Promise(() => {})), BodyTooSlow)
  await t.rejects(waitFor(pace, new Promise(() => {})), BodyTooSlow)
  pace.arrived(1)
  t.equal(await waitFor(pace, Promise.resolve('again')), 'again')
  const patient = new Pace({ bytesPerSecond: 0, idleMs: 60 })
  await t.rejects(waitFor(patient, new Promise(() => {})), BodyTooSlow)
  patient.arrived(1)
  t.equal(await waitFor(patient, sleep(30, 'any rate will do')), 'any rate will do')
})

t.test(
  'uploads above the limit are 503 before their body is read, one project cannot have them all, and an end makes room',
  async (t) => {
    const server = await startServer(t, { limits: { uploads: 4 } })
    const sessions = await Promise.all(
      ['alice', 'bob', 'carol'].map(async (name) => server.login(await server.createUser({ name }))),
    )
    for (const { ask } of sessions) await ask('box', { method: 'PUT' })
    const [alice, bob, carol] = sessions as [Session, Session, Session]
    const body = randomBytes(5 << 20) // a chunk of it is stored before the rest comes

    /** An upload of which half has arrived. */
    const begin = async (session: Session, name: string) => {
      const written = server.counters().contentBytesWritten
      const socket = open(server)
      const bytes = randomBytes(5 << 20)
      socket.write(head(session, object(session, name), bytes.length, 'Connection: close\r\n'))
      socket.write(bytes.subarray(0, 4 << 20))
      await until(() => server.counters().contentBytesWritten > written)
      return async () => {
        const answer = everything(socket)
        socket.write(bytes.subarray(4 << 20))
        t.match(await answer, /^HTTP\/1.1 201/)
      }
    }
    const refused = async (session: Session, why: string) => {
      const answer = await session.ask('box/refused', { method: 'PUT', body })
      t.equal(answer.status, 503, why)
      t.match(answer.headers['retry-after'], /^\d+$/)
      t.match(answer.text, /too many uploads/)
    }

    const ends = [await begin(alice, 'one'), await begin(alice, 'two')]
    await refused(alice, 'half of them are hers already')
    const image = { name: 'i', disk_format: 'raw', container_format: 'bare' }
    const { id } = (await alice.ask('/image/v2/images', { method: 'POST', json: image })).json
    const headers = { 'content-type': 'application/octet-stream' }
    const glance = await alice.ask(`/image/v2/images/${id}/file`, { method: 'PUT', body, headers })
    t.equal(glance.status, 503)
    t.match(glance.headers['retry-after'], /^\d+$/)
    t.equal((await alice.ask(`/image/v2/images/${id}`)).json.status, 'queued', 'and the image waits for its data')

    ends.push(await begin(bob, 'one'))
    await refused(bob, 'the last one is for a project that has none')
    ends.push(await begin(carol, 'one'))
    await refused(carol, 'all are taken')
    const expecting = open(server)
    expecting.write(head(carol, object(carol, 'x'), 5, 'Expect: 100-continue\r\n'))
    const [first] = await once(expecting, 'data')
    t.match(String(first), /^HTTP\/1.1 503/, 'instead of 100 Continue')
    expecting.destroy()
    t.equal((await carol.ask('box', { method: 'HEAD' })).status, 204, 'other requests are answered')

    await ends.pop()?.()
    const again = await carol.ask('box/again', { method: 'PUT', body })
    t.equal(again.status, 201)
    for (const end of ends) await end()
    const cut = open(server)
    cut.write(head(alice, object(alice, 'cut'), 100))
    cut.destroy()
    await Promise.all(
      ['a', 'b'].map(async (name) => t.equal((await bob.ask(`box/${name}`, { method: 'PUT', body })).status, 201)),
    )
  },
)

t.test('a project that has no upload gets one at once, while others hold as many slow ones as they may', async (t) => {
  const server = await startServer(t, { limits: { uploads: 8 } })
  // One user in ten projects, whose password is looked at once.
  const { user, password } = await server.createUser({ name: 'alice', project: 'tenant0' })
  const { identity } = server.core
  const [{ id: userId }, { id: roleId }] = [
    only(await identity.users.list({ name: user })),
    only(await identity.roles.list({ name: 'member' })),
  ]
  const sessions: Session[] = []
  for (let i = 0; i < 10; i++) {
    const project = `tenant${i}`
    if (i > 0)
      await identity.grants.assign({
        userId,
        roleId,
        projectId: (await identity.projects.create({ name: project })).id,
      })
    sessions.push(await server.login({ user, password, project }))
  }
  for (const { ask } of sessions) await ask('box', { method: 'PUT' })

  /** Uploads that never end: as many as the server takes. "100 Continue" comes when one has begun. */
  const hold = async (session: Session): Promise<Socket[]> => {
    const held: Socket[] = []
    for (;;) {
      const socket = open(server)
      socket.on('error', () => {})
      socket.write(head(session, object(session, `held${held.length}`), 1000, 'Expect: 100-continue\r\n'))
      const [answer] = await once(socket, 'data')
      if (!/^HTTP\/1.1 100/.test(String(answer))) {
        t.match(String(answer), /^HTTP\/1.1 503/)
        return held
      }
      held.push(socket)
    }
  }
  const counts: number[] = []
  const held: Socket[][] = []
  const ended: string[] = []
  for (const session of sessions.slice(0, 2)) {
    const sockets = await hold(session)
    for (const socket of sockets) socket.on('data', (bytes) => ended.push(String(bytes)))
    held.push(sockets)
    counts.push(sockets.length)
  }
  t.same(counts, [4, 2], 'half of all, then half of the rest')
  for (const session of sessions.slice(2)) {
    const put = await session.ask('box/small', { method: 'PUT', body: 'small' })
    t.equal(put.status, 201)
  }
  t.same(ended, [], 'nobody was ended for them: there was room')
  // Now each of them stays.
  for (const session of sessions.slice(2, 4)) held.push(await hold(session))
  t.same(
    held.map(({ length }) => length),
    [4, 2, 1, 1],
  )
  for (const [i, session] of sessions.slice(4, 8).entries()) {
    const sockets = await hold(session)
    t.equal(sockets.length, 1, `project ${i + 4} of 8`)
    held.push(sockets)
    await until(() => ended.length === i + 1)
    t.match(ended[i], /^HTTP\/1.1 503[\s\S]*retry-after: \d+[\s\S]*ended for one of a project that had none/i)
  }
  const last = await sessions[8]?.ask('box/small', { method: 'PUT', body: 'small' })
  t.equal(last?.status, 503, 'each place belongs to a project that has no other')
  for (const socket of held.flat()) socket.destroy()
  await until(async () => {
    const again = await hold(sessions[9] as Session)
    for (const socket of again) socket.destroy()
    return again.length === 4
  })
})

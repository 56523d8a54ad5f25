// Clients that ask for much and read nothing. What they cost is counted (the server's budgets, the pieces that were made), not timed.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import type { Core } from '../../../src/core/core.js'
import type { ProjectCaller } from '../../../src/core/model/records.js'
import { KiB, MiB } from '../../../src/lib/units.js'
import { type Session, startServer, type TestServer } from '../../../testkit/server.js'

t.setTimeout(280_000)

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(5)
}

/** The server makes no piece of any list any more: all of them wait for their clients. */
async function stalled({ fairness: { turns } }: TestServer): Promise<void> {
  for (let taken = -1, quiet = 0; quiet < 20; quiet = turns.taken === taken ? quiet + 1 : 0) {
    taken = turns.taken
    await sleep(10)
  }
}

/** Sends a request and never reads. */
async function askWithoutReading(server: TestServer, session: Session, path: string, times = 1): Promise<Socket> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.pause()
  await once(socket, 'connect')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${session.token}\r\nOpenStack-API-Version: volume 3.70\r\n\r\n`.repeat(
      times,
    ),
  )
  return socket
}

async function callerOf({ core }: TestServer, session: Session): Promise<ProjectCaller> {
  return (await core.sessions.authenticate(session.token)).caller as ProjectCaller
}

const properties = Object.fromEntries(Array.from({ length: 2 }, (_, i) => [`p${i}`, 'x'.repeat(60_000)]))
const metadata = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`m${i}`, 'y'.repeat(255)]))

/** 40 MB in each of three lists: of images, of volumes with details, and of objects in JSON. */
async function fill(core: Core, caller: ProjectCaller): Promise<void> {
  await Promise.all(
    Array.from({ length: 340 }, (_, i) => core.images.create(caller, { name: `image ${i}`, properties })),
  )
  await Promise.all(
    Array.from({ length: 400 }, (_, i) =>
      core.volumeSources.create(caller, { source: { kind: 'blank' }, sizeGib: 1, name: `volume ${i}`, metadata }),
    ),
  )
  const projectId = caller.project.id
  await core.containers.put(caller, { projectId, container: 'box' })
  const body = async function* () {
    yield Buffer.from('x')
  }
  await core.objects.put(caller, { projectId, container: 'box', object: 'first' }, { body: body(), contentType: 'a/b' })
  // The rows that as many copies make.
  await core.catalog.transaction(async ({ db }) => {
    const number = sql`with recursive number(i) as (select 0 union all select i + 1 from number where i < 9998)`
    await sql`${number} insert into resources (id, mode, size_bytes, head_layer, created_at)
      select substr(id, 1, 30) || printf('%06d', i), mode, size_bytes, head_layer, created_at
        from number, resources where id = (select resource_id from objects)`.execute(db)
    await sql`${number} insert into objects
      (id, container_id, name, resource_id, size_bytes, md5, sha256, content_type, created_at, updated_at)
      select substr(id, 1, 30) || printf('%06d', i), container_id,
          printf('%05d', i) || ${'\u0001'.repeat(500)}, substr(resource_id, 1, 30) || printf('%06d', i),
          size_bytes, md5, sha256, content_type, created_at, updated_at from number, objects`.execute(db)
  })
}

t.test('clients that never read their lists', async (t) => {
  const server = await startServer(t, { limits: { answerBytes: 4 * MiB } })
  const { answers } = server.fairness
  const alice = await server.login(await server.createUser({ name: 'alice' }))
  const bob = await server.login(await server.createUser({ name: 'bob' }))
  await fill(server.core, await callerOf(server, alice))
  await bob.ask('box', { method: 'PUT' })
  const lists = [
    `/image/v2/images?limit=1000`,
    '/volume/v3/volumes/detail',
    `${new URL(alice.storageUrl).pathname}/box?format=json`,
    `${new URL(alice.storageUrl).pathname}/box?format=xml`,
    `${new URL(alice.storageUrl).pathname}/box`,
  ]

  for (const path of lists) {
    t.test(`${path.replace(alice.projectId, 'PROJECT')}: a whole list is correct however long it is`, async (t) => {
      const { status, text, headers } = await alice.ask(path)
      t.equal(status, 200)
      t.equal(headers['transfer-encoding'], 'chunked')
      if (path.includes('images')) t.equal(new Set(JSON.parse(text).images.map((i: { id: string }) => i.id)).size, 340)
      else if (path.includes('volumes'))
        t.equal(new Set(JSON.parse(text).volumes.map((v: { id: string }) => v.id)).size, 400)
      else if (path.includes('json'))
        t.equal(new Set(JSON.parse(text).map((o: { name: string }) => o.name)).size, 10_000)
      else if (path.includes('xml')) t.equal(text.match(/<name>/g)?.length, 10_000)
      else t.equal(new Set(text.split('\n')).size, 10_001)
      await until(() => answers.heldBytes === 0)
    })

    t.test(
      `${path.replace(alice.projectId, 'PROJECT')}: 20 unread ones hold the share of their project at most`,
      async (t) => {
        const before = server.fairness.turns.taken
        const sockets = await Promise.all(Array.from({ length: 20 }, () => askWithoutReading(server, alice, path)))
        await until(() => answers.heldOf(alice.projectId) > MiB)
        await stalled(server)
        t.ok(answers.heldBytes <= 3 * MiB, `${answers.heldBytes} bytes of 4 MiB`)
        const made = server.fairness.turns.taken - before
        // 48 KiB each, about; the kernel takes some of them for each connection. All of 20 lists would be 16,000.
        t.ok(made < 3000, `${made} pieces were made`)

        for (const asked of ['/image/v2/images', '/volume/v3/volumes', '/v3/auth/projects', 'box']) {
          const refused = await alice.ask(asked)
          t.equal(refused.status, 503, asked)
          t.ok(refused.headers['retry-after'], asked)
          t.match(refused.text, /too many answers/, asked)
          t.equal((await bob.ask(asked)).status, asked === 'box' ? 204 : 200, `${asked}, another project`)
        }
        // What is short goes on.
        t.equal((await alice.ask('', { method: 'HEAD' })).status, 204)
        for (const socket of sockets) socket.destroy()
        await until(() => answers.heldBytes === 0)
        t.equal((await alice.ask('/volume/v3/volumes?limit=1')).status, 200)
      },
    )
  }
})

t.test('a client that never reads a list is cut off, and what it held is free again', async (t) => {
  const server = await startServer(t, { limits: { idleMs: 300 } })
  const session = await server.login()
  const caller = await callerOf(server, session)
  await Promise.all(Array.from({ length: 120 }, () => server.core.images.create(caller, { properties })))
  const socket = await askWithoutReading(server, session, '/image/v2/images?limit=1000')
  await until(() => server.fairness.answers.heldBytes > 0)
  await until(() => server.fairness.answers.heldBytes === 0)
  socket.resume()
  await once(socket, 'close')
})

t.test('answers that wait behind others of their connection count, and are let go of with it', async (t) => {
  const server = await startServer(t, { limits: { answerBytes: 8 * MiB } })
  const session = await server.login()
  const caller = await callerOf(server, session)
  const { id } = await server.core.images.create(caller, { properties })
  const socket = await askWithoutReading(server, session, `/image/v2/images/${id}`, 200)
  const { answers } = server.fairness
  await until(() => answers.heldBytes > 0)
  await stalled(server)
  t.ok(answers.heldBytes <= 4 * MiB, `${answers.heldBytes} bytes`)
  socket.destroy()
  await until(() => answers.heldBytes === 0)
})

t.test('long JSON bodies of one project that do not end leave room for those of another', async (t) => {
  const server = await startServer(t, { limits: { bodyBytes: 16 * MiB } })
  const alice = await server.login(await server.createUser({ name: 'alice' }))
  const bob = await server.login(await server.createUser({ name: 'bob' }))
  const { bodies } = server.fairness
  const { hostname, port } = new URL(server.url)
  const length = 512 * KiB
  const sockets = Array.from({ length: 10 }, () => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write(
      `POST /image/v2/images HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${alice.token}\r\nContent-Length: ${length}\r\n\r\n{`,
    )
    return socket
  })
  await until(() => bodies.heldOf(alice.projectId) === 8 * MiB)
  const long = { name: 'x', tag: ' '.repeat(100 * KiB) }
  for (const path of ['/image/v2/images', '/volume/v3/volumes', '/v3/auth/tokens']) {
    const refused = await alice.ask(path, { method: 'POST', json: long })
    // A login counts for the address.
    t.equal(refused.status, path === '/v3/auth/tokens' ? 413 : 503, path)
    if (refused.status === 503) t.ok(refused.headers['retry-after'], path)
    t.not((await bob.ask(path, { method: 'POST', json: long })).status, 503, path)
  }
  t.equal((await alice.ask('/image/v2/images', { method: 'POST', json: { name: 'short' } })).status, 201)
  for (const socket of sockets) socket.destroy()
  await until(() => bodies.heldBytes === 0)
})

t.test('a small request waits for a few pieces of the lists of another project, not for the lists', async (t) => {
  const server = await startServer(t)
  const alice = await server.login(await server.createUser({ name: 'alice' }))
  const bob = await server.login(await server.createUser({ name: 'bob' }))
  await fill(server.core, await callerOf(server, alice))
  await bob.ask('box', { method: 'PUT' })
  await bob.ask('box/small', { method: 'PUT', body: 'small' })
  const { turns } = server.fairness
  const path = `${new URL(alice.storageUrl).pathname}/box?format=json`
  // Each of them reads all that comes, in 800 pieces or so.
  const sockets = await Promise.all(Array.from({ length: 32 }, () => askWithoutReading(server, alice, path)))
  for (const socket of sockets) socket.resume()
  await until(() => turns.taken > 100)
  const waited: number[] = []
  for (let i = 0; i < 20; i++) {
    const before = turns.taken
    t.equal((await bob.ask('box/small')).text, 'small')
    waited.push(turns.taken - before)
  }
  t.ok(Math.max(...waited) < 60, `pieces of lists that were made meanwhile: ${waited.join(', ')}`)
  t.ok(server.fairness.answers.heldOf(alice.projectId) > 0, 'the lists are still being made')
  for (const socket of sockets) socket.destroy()
})

// The data directory's file system goes read-only, or takes the server's permissions away: an error to whoever needs it,
// nothing lost that was answered, and work as before when the cause is gone.

import { join } from 'node:path'
import { execa } from 'execa'
import t, { type Test } from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { type ServerProcess, startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

t.setTimeout(300_000)

const nine = (letter: string) => Buffer.alloc(9 * MiB, letter)

/** A server on a disk of its own, with a volume, its export and an object. */
async function setUp(t: Parameters<typeof startServerProcess>[0]) {
  const disk = await SmallDisk.make(t, { mib: 300 })
  const server = await startServerProcess(t, { dataDir: join(disk.mount, 'data') })
  const api = await Api.login(await server.environment())
  const volume = await api.createVolume({ name: 'kept' })
  const { uri } = await api.attach(volume)
  await nbdsh(uri, `h.pwrite(b'k' * (1 << 20), 0)\nh.flush()`)
  await api.expect(201, 'PUT', api.object('c'))
  await api.expect(201, 'PUT', api.object('c/kept'), { body: nine('k') })
  return { disk, server, api, volume, uri }
}

/** What was answered before the trouble. */
async function allIsThere(t: Test, server: ServerProcess, volume: string): Promise<void> {
  const api = await Api.login(await server.environment())
  await nbdsh(server.operatorUri(volume), `assert h.pread(1 << 20, 0) == b'k' * (1 << 20)`)
  const kept = await api.expect(200, 'GET', api.object('c/kept'))
  t.ok(Buffer.from(await kept.arrayBuffer()).equals(nine('k')))
  t.strictSame(await api.objects('c'), ['kept'])
}

t.test('a file system that turned read-only', async (t) => {
  const { disk, server, api, volume, uri } = await setUp(t)
  await disk.fail()

  t.test('writes and uploads get an error that says so, and nothing is promised', async (t) => {
    await nbdsh(
      uri,
      `
try:
    h.pwrite(b'n' * (1 << 20), 1 << 20)
    h.flush()
    raise SystemExit('a flush was answered')
except nbd.Error as answer:
    assert answer.errnum in (errno.EIO, errno.EROFS, errno.EPERM), answer`,
    )
    for (const path of ['c/new', 'another']) {
      const answer = await api.call('PUT', api.object(path), path === 'c/new' ? { body: nine('n') } : {})
      t.ok(answer.status >= 500, `${path}: ${answer.status}`)
      t.match(await answer.text(), /storage|catalog/)
    }
  })

  t.test('the log says which volume could not be written to, and why', async (t) => {
    const line = JSON.parse(await server.says(/a request failed/))
    t.equal(line.level, 'error')
    t.equal(line.code, 'io')
    t.match(line.msg, `a request failed: volume ${volume} (attachment `)
    const cause = line.msg.replace(/.*(?:WRITE of \d+ bytes at \d+|FLUSH): /, '')
    t.match(cause, /(data\/|records).*(Read-only file system|Input\/output error)/)
    t.comment(line.msg)
  })

  t.test('what can be read is read', async (t) => {
    await nbdsh(uri, `assert h.pread(1 << 20, 0) == b'k' * (1 << 20)`)
    const kept = await api.expect(200, 'GET', api.object('c/kept'))
    t.ok(Buffer.from(await kept.arrayBuffer()).equals(nine('k')))
    t.equal((await api.list('volumes')).length, 1)
  })

  t.test('a start on it is refused by name; when it can be written again everything is there', async (t) => {
    await server.kill()
    await disk.detach()
    // The journal must be replayed before it can be mounted for reading.
    await disk.attach()
    await disk.detach()
    await disk.attach('ro')
    const words = await server.start().then(
      () => 'it started',
      (error: Error) => error.message,
    )
    t.match(words, /read-only/i)
    t.match(words, new RegExp(server.dataDir))
    await disk.detach()
    await disk.attach()
    await server.start()
    await allIsThere(t, server, volume)
    await server.stop()
    const { exitCode, all } = await server.check()
    t.equal(exitCode, 0, all)
  })
})

t.test('permission to make files is lost', async (t) => {
  const { server, api, volume, uri } = await setUp(t)
  const folders = ['data', 'content'].map((name) => join(server.dataDir, 'store', name))
  // Root asks no permissions, but heeds this attribute.
  await execa('chattr', ['-R', '+i', ...folders])
  t.teardown(() => execa('chattr', ['-R', '-i', ...folders]))
  const fresh = await api.createVolume({ name: 'fresh' })
  const { uri: freshUri } = await api.attach(fresh)

  t.test('what needs a new file gets an error that says so, and its connection lives on', async (t) => {
    await nbdsh(
      freshUri,
      `
try:
    h.pwrite(b'n' * 4096, 0)
    h.flush()
    raise SystemExit('a flush was answered')
except nbd.Error as answer:
    assert answer.errnum in (errno.EIO, errno.EPERM), answer
assert h.pread(4096, 1 << 20) == bytes(4096)`,
    )
    const answer = await api.call('PUT', api.object('c/new'), { body: nine('n') })
    t.ok(answer.status >= 500, `${answer.status}`)
    t.match(await answer.text(), /storage/)
    t.equal((await api.call('GET', api.object('c/new'))).status, 404)
    await nbdsh(uri, `assert h.pread(1 << 20, 0) == b'k' * (1 << 20)`)
  })

  t.test('when it is given back everything works again without a restart', async (t) => {
    await execa('chattr', ['-R', '-i', ...folders])
    await nbdsh(freshUri, `h.pwrite(b'n' * 4096, 0)\nh.flush()\nassert h.pread(4096, 0) == b'n' * 4096`)
    await allIsThere(t, server, volume)
    await api.expect(201, 'PUT', api.object('c/new'), { body: nine('n') })
    await server.stop()
    const { exitCode, all } = await server.check()
    t.equal(exitCode, 0, all)
  })
})

// The catalog's file system runs full while the data's has room: what needs a new row is refused with an error that says so,
// disks go on, and when there is space again, so does everything, without a restart.

import { mkdtemp, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

t.setTimeout(300_000)

const { mount } = await SmallDisk.make(t, { mib: 100 })
const roomy = await mkdtemp(join(tmpdir(), 'atoll-roomy-'))
t.teardown(() => rm(roomy, { recursive: true, force: true }))
const server = await startServerProcess(t, { dataDir: join(mount, 'data') })
// What an operator does who has two disks: the store on the other one.
await server.stop()
const store = join(server.dataDir, 'store')
await execa('cp', ['-a', store, join(roomy, 'store')])
await rename(store, `${store}.old`)
await symlink(join(roomy, 'store'), store)
await rm(`${store}.old`, { recursive: true })
await server.start()

const api = await Api.login(await server.environment())
const volume = await api.createVolume({ name: 'kept' })
const { id: attachment, uri } = await api.attach(volume)
await api.expect(201, 'PUT', api.object('c'))
const ballast = join(mount, 'ballast')
const made: string[] = []

t.test('a row that does not fit is 507, and says what is full', async (t) => {
  await nbdsh(uri, `h.pwrite(b'k' * 4096, 0)\nh.flush()`)
  // ENOSPC is what it is to end with; then there is room for some rows.
  await execa('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k'], { reject: false })
  await truncate(ballast, (await stat(ballast)).size - MiB)
  let refused: Response | undefined
  for (let n = 0; n < 20_000 && refused === undefined; n++) {
    const answer = await api.call('PUT', api.object(`c-${n}`))
    if (answer.status === 201) made.push(`c-${n}`)
    else refused = answer
  }
  t.equal(refused?.status, 507, `after ${made.length} rows`)
  t.match(await refused?.text(), /no space left for the catalog/)
})

t.test('what is there is read, listed, written to and flushed', async (t) => {
  await nbdsh(uri, `h.pwrite(b'K' * 4096, 4096)\nh.flush()\nassert h.pread(4096, 0) == b'k' * 4096`)
  t.equal((await api.list('volumes')).length, 1)
  t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
  const snapshot = await api.call('POST', `/volume/v3/${api.projectId}/snapshots`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ snapshot: { volume_id: volume, force: true } }),
  })
  // Cinder has no 507.
  t.equal(snapshot.status, 413, 'a snapshot is refused')
  t.match(await snapshot.text(), /no space left for the catalog/)
  await nbdsh(uri, `h.pwrite(b'L' * 4096, 8192)\nh.flush()`)
})

t.test('logins, deletions and detaching work on a full catalog', async (t) => {
  for (let n = 0; n < 20; n++) await Api.login(await server.environment())
  const gone = made.splice(0, 20)
  for (const name of gone) await api.expect(204, 'DELETE', api.object(name))
  await api.detach(attachment)
  t.equal((await api.call('HEAD', api.object(gone[0] as string))).status, 404)
})

t.test('an upload is refused and leaves nothing', async (t) => {
  const answer = await api.call('PUT', api.object('c/large'), { body: Buffer.alloc(9 * MiB, 'large') })
  t.equal(answer.status, 507)
  t.match(await answer.text(), /no space left for the catalog/)
  t.equal((await api.call('GET', api.object('c/large'))).status, 404)
})

t.test('with space again everything works, and all that was answered is there', async (t) => {
  await writeFile(ballast, '')
  // The space reserve is whole again first.
  let status = 0
  for (let tries = 0; tries < 120 && status !== 201; tries++) {
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, 250))
    status = (await api.call('PUT', api.object('c/large'), { body: Buffer.alloc(9 * MiB, 'large') })).status
  }
  t.equal(status, 201)
  const snapshot = await api.createSnapshot({ volumeId: volume })
  await server.stop()
  const { exitCode, all } = await server.check()
  t.equal(exitCode, 0, all)
  await server.start()
  const again = await Api.login(await server.environment())
  const missing: string[] = []
  for (const name of made) if ((await again.call('HEAD', again.object(name))).status !== 204) missing.push(name)
  t.strictSame(missing, [], `of ${made.length} rows`)
  await nbdsh(server.operatorUri(snapshot), `assert h.pread(12288, 0) == b'k' * 4096 + b'K' * 4096 + b'L' * 4096`)
})

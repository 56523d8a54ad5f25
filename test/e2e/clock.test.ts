// The machine's clock is set back by days, and forward: nothing hangs, nothing is lost, nobody is locked out. (libfaketime moves the
// clock of the server's process; durations go by the clock that is never set, as on a real machine.)

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

t.setTimeout(300_000)

const { stdout: files } = await execa('dpkg', ['-L', 'libfaketime'])
const library = files.split('\n').find((name) => name.endsWith('/libfaketimeMT.so.1'))
if (library === undefined) throw new Error('the package libfaketime has no libfaketimeMT.so.1')

const disk = await SmallDisk.make(t, { mib: 300 })
const clockFile = join(disk.mount, 'clock')
/** Such as `-3d`. */
const setClock = (offset: string) => writeFile(clockFile, offset)
await setClock('+0')
const server = await startServerProcess(t, {
  dataDir: join(disk.mount, 'data'),
  environment: {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clockFile,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  },
})
const environment = await server.environment()
const api = await Api.login(environment)
const volume = await api.createVolume({ name: 'kept' })
const { uri } = await api.attach(volume)
await nbdsh(uri, `h.pwrite(b'k' * 4096, 0)\nh.flush()`)
await api.expect(201, 'PUT', api.object('c'))
await api.expect(201, 'PUT', api.object('c/kept'), { body: Buffer.from('old') })

t.test('set back by three days', async (t) => {
  await setClock('-3d')
  const made = await api.call('PUT', api.object('c2'))
  t.equal(made.status, 201, 'a token of the future is heeded')
  const about = await api.expect(204, 'HEAD', api.object('c2'))
  const madeAtMs = Number(about.headers.get('x-timestamp')) * 1000
  t.ok(madeAtMs < Date.now() - 2 * 86400_000, `the server took it to be ${new Date(madeAtMs).toISOString()}`)
  await Api.login(environment)
  await api.expect(201, 'PUT', api.object('c/kept'), { body: Buffer.from('new') })
  t.equal(await (await api.expect(200, 'GET', api.object('c/kept'))).text(), 'new')
  await api.expect(201, 'PUT', api.object('c/later'), { body: Buffer.from('later') })
  t.strictSame(await api.objects('c'), ['kept', 'later'])
  await nbdsh(uri, `h.pwrite(b'K' * 4096, 4096)\nh.flush()`)
  const snapshot = await api.createSnapshot({ volumeId: volume, name: 'from the past' })
  await nbdsh(server.operatorUri(snapshot), `assert h.pread(8192, 0) == b'k' * 4096 + b'K' * 4096`)
  await api.delete('snapshots', snapshot)
})

t.test('a restart in the past: everything is there, and check is clean', async (t) => {
  await server.stop()
  await server.start()
  const again = await Api.login(environment)
  t.strictSame(await again.objects('c'), ['kept', 'later'])
  await nbdsh(server.operatorUri(volume), `assert h.pread(8192, 0) == b'k' * 4096 + b'K' * 4096`)
  await server.stop()
  const { exitCode, all } = await server.check()
  t.equal(exitCode, 0, all)
  await server.start()
})

t.test('set forward: tokens of the past have expired, and a login helps', async (t) => {
  const past = await Api.login(environment)
  await setClock('+2d')
  t.equal((await past.call('GET', past.object('c'))).status, 401)
  const now = await Api.login(environment)
  t.strictSame(await now.objects('c'), ['kept', 'later'])
  await setClock('+0')
  t.strictSame(await now.objects('c'), ['kept', 'later'])
})

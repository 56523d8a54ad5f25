// The data directory's file system runs full: the request that needs space gets an error, everything else goes on, and
// when space is there again, so does that. No restart is needed.

import { join } from 'node:path'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { pseudorandom } from '../../testkit/pseudorandom.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { SmallDisk } from '../../testkit/small_disk.js'

t.setTimeout(300_000)

const { mount } = await SmallDisk.make(t, { mib: 400 })
const server = await startServerProcess(t, { dataDir: join(mount, 'data') })
const api = await Api.login(await server.environment())
const kept = await api.createVolume({ name: 'kept' })
const greedy = await api.createVolume({ name: 'greedy' })
const keptUri = (await api.attach(kept)).uri
const greedyAttachment = await api.attach(greedy)
const pattern = (letter: string) => `b'${letter}' * (1 << 20)`

t.test('a volume that fills the disk gets ENOSPC, and its connection lives on', async (t) => {
  await nbdsh(keptUri, `for i in range(16): h.pwrite(${pattern('k')}, i << 20)\nh.flush()`)
  const output = await nbdsh(
    greedyAttachment.uri,
    `
for i in range(1024):
    try:
        h.pwrite(bytes([1 + i % 255]) * (1 << 20), i << 20)
        if i % 8 == 7: h.flush()
    except nbd.Error as answer:
        assert answer.errnum == errno.ENOSPC, answer
        break
else:
    raise SystemExit('the disk did not run full')
print(i, 'MiB were written')
for j in range(i - i % 8):
    assert h.pread(1 << 20, j << 20) == bytes([1 + j % 255]) * (1 << 20), j`,
  )
  t.comment(output)
})

t.test('the log says which volume met the full disk, in which request and system call', async (t) => {
  const line = JSON.parse(await server.says(/a request failed/))
  t.equal(line.level, 'warn')
  t.equal(line.code, 'no_space')
  t.equal(line.export, `${greedy}/${greedyAttachment.id}`)
  t.match(line.msg, `a request failed: volume ${greedy} (attachment ${greedyAttachment.id}): `)
  t.match(
    line.msg,
    /: (WRITE of \d+ bytes at \d+|FLUSH): (data file \d+ \(data\/[^)]+\): \w+|records: .*): No space left/,
  )
  t.comment(line.msg)
})

t.test('meanwhile the other volume is read, and its own blocks are overwritten and flushed', async () => {
  await nbdsh(keptUri, `assert h.pread(1 << 20, 5 << 20) == ${pattern('k')}`)
  await nbdsh(
    keptUri,
    `h.pwrite(${pattern('K')}, 5 << 20)\nh.flush()\nassert h.pread(1 << 20, 5 << 20) == ${pattern('K')}`,
  )
})

t.test('an upload is refused with an error that says so, leaves nothing, and the API goes on', async (t) => {
  await api.call('PUT', api.object('c'))
  const body = Buffer.concat([...pseudorandom('large', 64 * MiB)].map((piece) => Buffer.from(piece)))
  const answer = await api.call('PUT', api.object('c/large'), { body })
  t.equal(answer.status, 507)
  t.match(await answer.text(), /space|storage/i)
  t.equal((await api.call('GET', api.object('c/large'))).status, 404)
  t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
  t.equal((await api.list('volumes')).length, 2)
})

t.test('when something is deleted, everything works again without a restart', async (t) => {
  await api.detach(greedyAttachment.id)
  await api.delete('volumes', greedy)
  const body = Buffer.concat([...pseudorandom('large', 64 * MiB)].map((piece) => Buffer.from(piece)))
  t.equal(await eventually(async () => (await api.call('PUT', api.object('c/large'), { body })).status, 201), 201)
  await nbdsh(keptUri, `for i in range(16, 32): h.pwrite(${pattern('n')}, i << 20)\nh.flush()`)
  await server.stop()
  const { exitCode, all } = await server.check()
  t.equal(exitCode, 0, all)
  await server.start()
  await nbdsh(server.operatorUri(kept), `assert h.pread(1 << 20, 20 << 20) == ${pattern('n')}`)
  await nbdsh(server.operatorUri(kept), `assert h.pread(1 << 20, 5 << 20) == ${pattern('K')}`)
})

/** Space comes back in the background: tries for 30 s. */
async function eventually<Value>(call: () => Promise<Value>, wanted: Value): Promise<Value> {
  let value = await call()
  for (let tries = 0; tries < 30 && value !== wanted; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    value = await call()
  }
  return value
}

// What `atoll status` tells of the NBD exports of a running server, after requests that are known to a byte.

import t from 'tap'
import type { StatusReport } from '../../../src/server/control.js'
import { Api } from '../../../testkit/api.js'
import { nbdsh, tool } from '../../../testkit/nbd_tools.js'
import { atoll, startServerProcess } from '../../../testkit/server_process.js'

t.setTimeout(120_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const table = () => atoll('status', '--exports', '--data', server.dataDir)
const sum = (buckets: number[]) => buckets.reduce((a, b) => a + b, 0)

/** The server may still be reading the client's goodbye. */
async function whenAllHaveLeft(): Promise<StatusReport> {
  for (;;) {
    const status = await server.status()
    if (status.counters.connections === 0) return status
  }
}

t.test('before the first connection there is nothing to tell', async (t) => {
  t.strictSame((await server.status()).exports, [])
  t.match(await table(), { exitCode: 0, stdout: 'no export has had a connection since the start' })
})

t.test('status counts what nbdsh asked of an attachment, and qemu-io of a volume, and tells no secret', async (t) => {
  const volume = await api.createVolume()
  const { id, uri } = await api.attach(volume)
  const script = `
for i in range(8): h.pwrite(b'w' * 4096, i * 4096)
for i in range(3): h.pread(4096, i * 4096)
h.flush()
h.trim(4096, 0)
h.set_strict_mode(0)
try:
    h.pread(512, h.get_size())
    raise SystemExit('read beyond the end')
except nbd.Error: pass
h.shutdown()`
  await nbdsh(uri, script)
  await tool('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 64k', '-c', 'read -P 7 0 64k', server.operatorUri(volume)])

  const { exports } = await whenAllHaveLeft()
  const tenant = exports.find(({ door }) => door === 'tenant')
  t.match(tenant, {
    name: `${volume}/${id}`,
    connections: 0,
    accepted: 1,
    requests: { read: 4, write: 8, flush: 1, trim: 1, cache: 0, writeZeroes: 0, blockStatus: 0, disconnect: 1 },
    errors: 1,
    bytesRead: 3 * 4096,
    bytesWritten: 8 * 4096,
  })
  const { read = [], write = [], flush = [], other = [] } = tenant?.latencyUs ?? {}
  t.strictSame([read, write, flush, other].map(sum), [4, 8, 1, 1], 'each answered request is in one histogram')
  t.equal(read.length, 24)
  const operator = exports.find(({ door }) => door === 'operator')
  t.match(operator, { name: volume, connections: 0, errors: 0, bytesRead: 65536, bytesWritten: 65536 })
  t.equal(exports.length, 2)

  const { stdout } = await table()
  t.match(stdout, /^door +export +conns +reads +writes +flushes +others +errors +MiB read +MiB written/)
  t.match(stdout, new RegExp(`^tenant +${volume}/${id} +0 +4 +8 +1 +1 +1 +0\\.0 +0\\.0 +<[0-9.]+ (µs|ms|s) `, 'm'))
  t.match(stdout, new RegExp(`^operator +${volume} +0 `, 'm'))

  const secret = new URL(uri).pathname.slice(1)
  t.ok(secret.length > 20)
  t.notOk(JSON.stringify(exports).includes(secret))
  t.notOk(stdout.includes(secret))
  await api.detach(id)
  const after = await server.status()
  t.ok(
    after.exports.some(({ name }) => name === `${volume}/${id}`),
    'an attachment that is gone keeps its row',
  )
})

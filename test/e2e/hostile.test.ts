// What a careless or hostile user tries: a second server on the same data, exports that are not theirs, dead URIs.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { nbdsh, tool } from '../../testkit/nbd_tools.js'
import { atoll, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(180_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

/** Python that fails unless `call` is answered with this error. Client-side checks are off: the server must refuse. */
const refused = (call: string, error: string) => `
h.set_strict_mode(0)
try:
    ${call}
except nbd.Error as answer:
    assert answer.errnum == errno.${error}, answer
else:
    raise SystemExit('it was not refused')`

t.test('a second server on the same data directory is refused with a clear error, and the first goes on', async (t) => {
  const second = await atoll('serve', '--data', server.dataDir, '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0')
  t.not(second.exitCode, 0)
  t.match(second.all, server.dataDir)
  t.match(second.all, /in use|already|another/i)
  const check = await atoll('check', '--data', server.dataDir)
  t.not(check.exitCode, 0, 'nor may the store be checked while it is in use')
  t.match(check.all, /in use|already|another|running/i)
  t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
})

t.test('when an attachment is deleted its connections end, and its URI never works again', async (t) => {
  const volume = await api.createVolume()
  const { id, uri } = await api.attach(volume)
  const connected = nbdsh(uri, `print('connected', flush=True)\nwhile True: h.pread(4096, 0)`)
  const ended = t.rejects(connected, 'the open connection ends')
  await nbdsh(uri, "h.pwrite(b'kept' * 1024, 0, nbd.CMD_FLAG_FUA)")
  await api.detach(id)
  await ended
  await t.rejects(tool('nbdinfo', [uri]))
  const { uri: next } = await api.attach(volume)
  t.not(next, uri)
  await t.rejects(tool('nbdinfo', [uri]), 'also when the volume is attached again')
  await nbdsh(next, "assert h.pread(4096, 0) == b'kept' * 1024")
})

t.test('writes, trims and zeroes to an image or a snapshot answer EPERM and change nothing', async (t) => {
  const bytes = Buffer.alloc(100_000, 'image')
  const image = await api.createImage({ name: 'read-only', bytes })
  const volume = await api.createVolume({ imageRef: image })
  const snapshot = await api.createSnapshot({ volumeId: volume })
  for (const id of [image, snapshot]) {
    const uri = server.operatorUri(id)
    t.match(await tool('nbdinfo', [uri]), /is_read_only: (true|yes)/)
    for (const call of ["h.pwrite(b'x' * 512, 0)", 'h.trim(4096, 0)', 'h.zero(4096, 4096)'])
      await nbdsh(uri, refused(call, 'EPERM'))
    await nbdsh(uri, `assert bytes(h.pread(${bytes.length}, 0)) == b'image' * ${bytes.length / 5}`)
  }
})

t.test('a read-only attachment does not write', async () => {
  const { uri } = await api.attach(await api.createVolume(), 'ro')
  await nbdsh(uri, refused("h.pwrite(b'x' * 512, 0)", 'EPERM'))
})

t.test('past the end: a write answers ENOSPC, a read EINVAL, and the connection goes on', async () => {
  const { uri } = await api.attach(await api.createVolume())
  await nbdsh(uri, `${refused("h.pwrite(b'x' * 8192, h.get_size() - 4096)", 'ENOSPC')}`)
  await nbdsh(uri, `${refused('h.pread(8192, h.get_size() - 4096)', 'EINVAL')}\nh.pread(4096, 0)`)
})

t.test('at the tenants’ door nothing is found by its id, and nothing is listed', async (t) => {
  const volume = await api.createVolume()
  await tool('nbdinfo', [server.operatorUri(volume)])
  for (const name of [volume, '', 'x'.repeat(4096)])
    await t.rejects(tool('nbdinfo', [`nbd://${server.nbdAddress}/${name}`]), `'${name.slice(0, 40)}'`)
  const list = tool('nbdinfo', ['--list', `nbd://${server.nbdAddress}`])
  await t.rejects(list, /server replied with error to list request/)
})

t.test('a data directory of a newer format is refused by name, and left alone', async (t) => {
  const other = await startServerProcess(t)
  await other.stop()
  const path = join(other.dataDir, 'format')
  const format = await readFile(path, 'utf8')
  await writeFile(path, format.replace(/\d+/, '999'))
  const newer = await atoll('serve', '--data', other.dataDir, '--http', '127.0.0.1:0', '--nbd', '127.0.0.1:0')
  t.not(newer.exitCode, 0)
  t.match(newer.all, /999/)
  await writeFile(path, format)
  await other.start()
})

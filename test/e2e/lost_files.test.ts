// A file of the store that is missing, empty or cut short: whoever needs it gets an error, the log and atoll check say which file
// it is, and nobody gets zeros.

import { rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { type ServerProcess, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(900_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())
const volume = await api.createVolume({ name: 'data' })
const uri = server.operatorUri(volume)
// Two regions, and a third in another file: the head after a snapshot.
await nbdsh(uri, `h.pwrite(b'a' * (1 << 20), 0)\nh.pwrite(b'b' * (1 << 20), 4 << 20)\nh.flush()`)
const snapshot = await api.createSnapshot({ volumeId: volume, name: 'before' })
await nbdsh(uri, `h.pwrite(b'c' * (1 << 20), 8 << 20)\nh.flush()`)
await api.expect(201, 'PUT', api.object('c'))
const bytes = Buffer.concat([Buffer.alloc(4 * MiB, 'x'), Buffer.alloc(MiB, 'y')])
await api.expect(201, 'PUT', api.object('c/object'), { body: bytes })
const image = await api.createImage({ name: 'os', bytes })
await server.stop()

const storeDir = join(server.dataDir, 'store')
const filesIn = async (part: 'data' | 'content', bytesMin: number): Promise<string[]> => {
  const { stdout } = await execa('find', [
    join(storeDir, part),
    '-type',
    'f',
    '-size',
    `+${bytesMin}c`,
    '-not',
    '-name',
    'mark',
  ])
  return stdout.split('\n').filter(Boolean).sort()
}
const [sealedFile = '', headFile = ''] = await filesIn('data', 1000)
const chunkFiles = await filesIn('content', 1000)
const kept = join(server.scratchDir, 'kept')
await execa('cp', ['-a', '--sparse=always', server.dataDir, kept])

async function putBack(): Promise<void> {
  await server.kill()
  await execa('rm', ['-rf', server.dataDir])
  await execa('cp', ['-a', '--sparse=always', kept, server.dataDir])
}

/** Reads over NBD, of one block at each offset: which answer EIO, and which the letter that was written there. */
const reads = (server: ServerProcess, id: string, expected: Record<string, string>) =>
  nbdsh(
    server.operatorUri(id),
    `
for offset, letter in ${JSON.stringify(Object.entries(expected))}:
    for length in 4096, 65536:
        try:
            got = h.pread(length, int(offset))
            assert letter != '!', (offset, length, got[:8])
            assert got == letter.encode() * length, (offset, length, got[:8])
        except nbd.Error as answer:
            assert letter == '!' and answer.errnum == errno.EIO, (offset, letter, answer)`,
  )

const damages = {
  absent: (path: string) => rmSync(path),
  empty: (path: string) => truncateSync(path),
  'cut short': (path: string) => truncateSync(path, MiB / 2),
}

for (const [how, damage] of Object.entries(damages)) {
  t.test(`a private data file that is ${how} is EIO for the blocks it misses, and the log names it`, async (t) => {
    await putBack()
    damage(sealedFile)
    await server.start()
    const first = how === 'cut short' ? 'a' : '!'
    const there = { 0: first, [MiB - 65536]: '!', [4 * MiB]: '!' }
    await reads(server, snapshot, there)
    await reads(server, volume, { ...there, [8 * MiB]: 'c' })
    const line = JSON.parse(await server.says(/a request failed/))
    t.equal(line.level, 'error')
    t.match(line.msg, new RegExp(`READ .* data file \\d+ \\(${sealedFile.slice(storeDir.length + 1)}\\)`))
    t.comment(line.msg)
    // Part of a block is read before it is written: it must not be made up of zeros.
    await nbdsh(
      uri,
      `
try:
    h.pwrite(b'n' * 512, (4 << 20) + 1024)
    h.flush()
    raise SystemExit('a write over what is lost was answered')
except nbd.Error as answer:
    assert answer.errnum == errno.EIO, answer`,
    )
    await server.stop()
    const { exitCode, all } = await server.check()
    t.equal(exitCode, 1)
    t.match(all, how === 'absent' ? /file_missing/ : /file_short/)
  })

  t.test(`the head's own data file that is ${how} is EIO, and its neighbors are read`, async () => {
    await putBack()
    damage(headFile)
    await server.start()
    await reads(server, volume, { 0: 'a', [4 * MiB]: 'b', [9 * MiB - 65536]: '!' })
    await reads(server, snapshot, { 0: 'a' })
  })

  t.test(
    `a content chunk that is ${how} is an error in GETs of the object and of the image, and never zeros`,
    async (t) => {
      await putBack()
      for (const path of chunkFiles) damage(path)
      await server.start()
      const again = await Api.login(await server.environment())
      for (const path of [again.object('c/object'), `/image/v2/images/${image}/file`])
        for (const range of [undefined, 'bytes=0-9', `bytes=${MiB - 10}-${MiB + 9}`]) {
          const got = await again
            .call('GET', path, range === undefined ? {} : { headers: { range } })
            .then(async (answer) => ({ status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }))
            .catch((error: Error) => ({ status: 0, body: Buffer.alloc(0), error }))
          t.notOk(got.status < 300 && got.body.includes(0), `${path} ${range}: ${got.status}, and no zeros`)
          if (how !== 'cut short' || range !== 'bytes=0-9')
            t.notOk(got.status >= 200 && got.status < 300, `${path} ${range}: ${got.status}`)
        }
      await reads(server, image, { [MiB]: '!', [4 * MiB + MiB / 2]: '!' })
      await server.stop()
      const { exitCode, stdout } = await server.check('--json')
      t.equal(exitCode, 1)
      const kinds = JSON.parse(stdout).findings.map(({ kind }: { kind: string }) => kind)
      t.match(
        kinds,
        Array.from(chunkFiles, () => (how === 'absent' ? 'chunk_missing' : 'chunk_corrupt')),
      )
    },
  )
}

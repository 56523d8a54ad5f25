// The scrub of a real server, as its operator sees it: the log and `atoll status`.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { atoll, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(120_000)

t.test(
  'a server finds a chunk that was damaged under it, says so in its log and in its status, and ends well',
  async (t) => {
    const server = await startServerProcess(t, { arguments: ['--scrub-rate', '1G', '--scrub-interval', '0'] })
    const api = await Api.login(await server.environment())
    await api.expect(201, 'PUT', api.object('box'))
    await api.expect(201, 'PUT', api.object('box/letters'), { body: Buffer.alloc(MiB, 'letters ') })
    await server.says(/the scrub has read all content"/)

    const content = join(server.dataDir, 'store', 'content')
    const [name = ''] = readdirSync(content, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('/'))
    const bytes = readFileSync(join(content, name))
    writeFileSync(join(content, name), Buffer.concat([bytes.subarray(1), Buffer.from('!')]))
    const chunk = name.replace('/', '')

    const told = JSON.parse(await server.says(/"damage":/))
    t.match(told, {
      level: 'error',
      damage: 'chunk_corrupt',
      chunk,
      affected: [{ kind: 'object', name: 'box/letters' }],
    })
    t.match(
      told.msg,
      /^DAMAGED: content chunk .*\. Affects object .* \(box\/letters\): bytes 0\+1048576\. To do: upload/,
    )

    await server.says(/the scrub has read all content and found damage/)
    const { scrub } = await server.status()
    t.match(scrub, { bytesPerSecond: 1024 * MiB, lastPass: { chunks: 1, findings: 1 }, findings: [{ chunk }] })
    const words = await atoll('status', '--data', server.dataDir)
    t.match(words.stdout, /^ {2}scrub {4}at most 1 GiB a second; .*last pass ended .* UTC: 1 chunks, .*, 1 damaged/m)
    t.match(
      words.stdout,
      /^ {2}DAMAGED: content chunk .* \[chunk_corrupt\]\n {4}affects object .*\n {4}to do: upload /m,
    )
    await server.stop()
    t.match(await server.check(), { exitCode: 1, stdout: `DAMAGED: content chunk ${chunk} does not have the bytes` })
  },
)

t.test('without a scrub the status says so', async (t) => {
  const server = await startServerProcess(t, { arguments: ['--scrub-rate', '0'] })
  t.match((await atoll('status', '--data', server.dataDir)).stdout, /^ {2}scrub {4}off$/m)
})

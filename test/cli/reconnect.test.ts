// `atoll reconnect`, and the control socket that it uses. With clients that reconnect: test/e2e/resize.test.ts.

import { statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { nbdsh } from '../../testkit/nbd_tools.js'
import { atoll, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(180_000)

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

const reconnect = (volume: string) => atoll('reconnect', volume, '--data', server.dataDir)

/** A client that reads until its connection ends, and then fails. */
const reader = (uri: string) => nbdsh(uri, 'while True: h.pread(512, 0)')

async function untilConnected(count: number): Promise<void> {
  const open = async () => (await server.status()).exports.reduce((sum, { connections }) => sum + connections, 0)
  while ((await open()) !== count) await new Promise((resolve) => setTimeout(resolve, 10))
}

t.test('the connections of a volume end, through both listeners, and no others', async (t) => {
  const volume = await api.createVolume({ name: 'first' })
  const other = await api.createVolume({ name: 'second' })
  const { uri } = await api.attach(volume)
  const ending = [uri, uri, server.operatorUri(volume), server.operatorUri('first')].map((each) =>
    t.rejects(reader(each)),
  )
  const staying = t.rejects(reader(server.operatorUri('second')))
  await untilConnected(5)
  t.match(await reconnect('first'), {
    exitCode: 0,
    stdout: `volume ${volume} (first): 4 NBD connections ended`,
    stderr: '',
  })
  await Promise.all(ending)
  await untilConnected(1)
  await nbdsh(uri, 'h.pread(512, 0)')
  t.match(await reconnect(other), { exitCode: 0, stdout: `volume ${other} (second): 1 NBD connection ended` })
  await staying
  await untilConnected(0)
  t.match(await reconnect(volume), { exitCode: 0, stdout: `volume ${volume} (first) has no NBD connections` })
})

t.test(
  'no such volume, a name of several, no data directory, no volume given: one line, and exit status 1',
  async (t) => {
    const ids = [await api.createVolume({ name: 'twins' }), await api.createVolume({ name: 'twins' })]
    const snapshot = await api.createSnapshot({ volumeId: ids[0] as string })
    for (const nothing of ['nobody', snapshot, ids[0]?.toUpperCase() ?? '', '']) {
      const stderr = `atoll: there is no volume with the ID or name "${nothing}"`
      t.match(await reconnect(nothing), { exitCode: 1, stdout: '', stderr })
    }
    const { exitCode, stdout, stderr } = await reconnect('twins')
    t.match({ exitCode, stdout }, { exitCode: 1, stdout: '' })
    t.match(stderr, /^atoll: the name "twins" is not unique: volume .*; use an ID$/)
    for (const id of ids) t.match(stderr, id)
    const nowhere = join(t.testdir(), 'nowhere')
    t.match(await atoll('reconnect', 'x', '--data', nowhere), {
      exitCode: 1,
      stderr: /^atoll: there is no data directory/,
    })
    t.match(await atoll('reconnect'), { exitCode: 1, stderr: /missing required argument 'volume'/ })
    t.match(await atoll('reconnect', '--help'), { exitCode: 0, stdout: /Exit status: 0 .*1 / })
  },
)

t.test(
  'the control socket is its owner’s alone, changes something by POST alone, and bounds what it reads',
  async (t) => {
    const path = join(server.dataDir, 'control.sock')
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.equal(statSync(server.dataDir).mode & 0o777, 0o700)
    const ask = (method: string, url: string, body = '') =>
      new Promise<{ status: number | undefined; code: string }>((resolve, reject) => {
        const asking = request({ socketPath: path, method, path: url }, (response) => {
          response.setEncoding('utf8')
          let text = ''
          response.on('data', (piece) => {
            text += piece
          })
          response.on('end', () => resolve({ status: response.statusCode, code: JSON.parse(text).code }))
        })
        asking.on('error', reject)
        asking.end(body)
      })
    for (const method of ['GET', 'PUT', 'DELETE'])
      t.match(await ask(method, '/reconnect', '{"volume":"x"}'), { status: 405, code: 'control_method' })
    t.match(await ask('POST', '/status'), { status: 405, code: 'control_method' })
    for (const url of ['/', '/reconnect/', '/reconnect?volume=x', '/shutdown'])
      t.match(await ask('POST', url), { status: 404, code: 'control_unknown' })
    for (const body of [
      '',
      'x',
      '[]',
      'null',
      '{}',
      '{"volume":7}',
      '{"volume":["x"]}',
      `{"volume":"${'x'.repeat(20_000)}"}`,
    ])
      t.match(await ask('POST', '/reconnect', body), { status: 400, code: 'control_invalid' }, body.slice(0, 20))
    t.match(await ask('POST', '/reconnect', '{"volume":"nobody"}'), { status: 404, code: 'nothing_named' })
  },
)

t.test('without a running server there is nothing to end, and the exit status says so', async (t) => {
  await server.stop()
  t.match(await reconnect('first'), { exitCode: 1, stderr: `atoll: no server is running on ${server.dataDir}` })
})

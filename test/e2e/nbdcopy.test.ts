// libnbd's copier, of two generations, at its widest: 8 connections with 64 requests in flight on each, in both
// directions, through each kind of door.

import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { issue, makeAuthority } from '../../testkit/certificates.js'
import { generations, tool } from '../../testkit/nbd_tools.js'
import { pseudorandom } from '../../testkit/pseudorandom.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(300_000)

const connections = 8
const volumeMiB = 1024
/** nbdcopy has no more connections than threads, and by itself no more threads than there are processors. */
const shape = [`--connections=${connections}`, '--requests=64', `--threads=${connections}`]

const dir = t.testdir()
const authority = await makeAuthority(dir, 'authority')
const { certificate, key } = await issue(authority, 'server', { dir: join(dir, 'server'), name: 'server' })
const server = await startServerProcess(t, {
  arguments: [...['--nbd-tls-cert', certificate, '--nbd-tls-key', key], '--nbd', '127.0.0.1:0?tls=required'],
})
const api = await Api.login(await server.environment())

const doors = {
  'a unix socket': async (volume: string) => server.operatorUri(volume),
  TCP: async (volume: string) => (await attach(volume)).href,
  TLS: async (volume: string) => {
    const { nbd, nbdTls } = await server.status()
    const secure = nbd[nbdTls.indexOf('required')]
    return `nbds://${secure}${(await attach(volume)).pathname}?tls-certificates=${join(dir, 'authority')}`
  },
}

async function attach(volume: string): Promise<URL> {
  return new URL((await api.attach(volume)).uri)
}

/** As large as the volume: two stretches of data that begin and end inside of blocks, and holes. */
const source = join(server.scratchDir, 'source')
for (const [seed, lengthBytes, start] of [
  ['first', 96 * MiB + 12345, 777],
  ['second', 37 * MiB + 1, 700 * MiB + 513],
] as const)
  await pipeline(
    Readable.from(pseudorandom(seed, lengthBytes)),
    createWriteStream(source, { flags: seed === 'first' ? 'w' : 'r+', start }),
  )
await tool('truncate', [`--size=${volumeMiB}M`, source])

for (const clients of generations)
  for (const [door, uriOf] of Object.entries(doors)) {
    t.test(
      `${clients.name}: nbdcopy with 8 connections of 64 requests, there and back over ${door}: the same bytes`,
      async (t) => {
        const uri = await uriOf(await api.createVolume({}))
        const back = join(server.scratchDir, 'back')
        const before = await accepted()
        await clients.run('nbdcopy', [...shape, '--flush', source, uri])
        const between = await accepted()
        await clients.run('nbdcopy', [...shape, uri, back])
        await tool('cmp', [source, back])
        // It would take a single one, and say nothing, if the export did not offer MULTI_CONN.
        t.equal(between - before, connections, 'connections there')
        t.equal((await accepted()) - between, connections, 'connections back')
        t.equal(await errors(), 0, 'no request failed')
        await tool('rm', [back])
      },
    )
  }

/** Connections to all exports since the start. */
async function accepted(): Promise<number> {
  return (await server.status()).exports.reduce((sum, one) => sum + one.accepted, 0)
}

async function errors(): Promise<number> {
  return (await server.status()).exports.reduce((sum, one) => sum + one.errors, 0)
}

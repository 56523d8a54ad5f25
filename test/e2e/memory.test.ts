// How much memory the server's process takes while large objects stream through it: a bound, whatever their size.
//
// Runs alone: it measures memory.

import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import t from 'tap'
import { MiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { pseudorandom } from '../../testkit/pseudorandom.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(240_000)

const sizeMiB = 1024
/** Chunks of an upload in memory, and those kept for the next one; pieces of the socket until they are collected. */
const growthMiBMax = 200

const server = await startServerProcess(t)
const api = await Api.login(await server.environment())

const inMiB = async (field: 'VmRSS' | 'VmHWM') =>
  Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))?.[1]) / 1024

/** By how many MiB the process was larger at its largest than before. */
async function growth(work: () => Promise<void>): Promise<number> {
  await writeFile(`/proc/${server.pid}/clear_refs`, '5') // proc(5): the peak counts from here
  const before = await inMiB('VmRSS')
  await work()
  return (await inMiB('VmHWM')) - before
}

t.test('1 GiB streams in and out while the server grows by no more than 200 MiB', async (t) => {
  // The same 16 MiB again and again, three quarters of them zeros: quick to store, and as much to receive as any other.
  const pattern = Buffer.concat([...pseudorandom('1 GiB', 4 * MiB), Buffer.alloc(12 * MiB)])
  const digest = createHash('md5')
  await api.expect(201, 'PUT', api.object('box'))

  const uploaded = await growth(async () => {
    const body = Readable.from(
      (function* () {
        for (let at = 0; at < sizeMiB; at++) {
          const piece = pattern.subarray((at % 16) * MiB, ((at % 16) + 1) * MiB)
          digest.update(piece)
          yield piece
        }
      })(),
    )
    const put = await api.call('PUT', api.object('box/large'), {
      body: Readable.toWeb(body) as ReadableStream,
      duplex: 'half',
    })
    t.equal(put.status, 201)
  })
  const md5 = digest.digest('hex')
  t.ok(uploaded < growthMiBMax, `${Math.round(uploaded)} MiB more while it came in`)

  const downloaded = await growth(async () => {
    const got = await api.call('GET', api.object('box/large'))
    t.equal(got.status, 200)
    const back = createHash('md5')
    for await (const piece of got.body as unknown as AsyncIterable<Uint8Array>) back.update(piece)
    t.equal(back.digest('hex'), md5)
  })
  t.ok(downloaded < growthMiBMax, `${Math.round(downloaded)} MiB more while it went out`)
})

// kill -9 of the whole server under load, again and again (ATOLL_KILLS times, 50 unless told; ATOLL_SEED repeats a run):
// writes over two NBD connections, snapshots, clones, merges and uploads are under way each time.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { CheckReport } from '../../src/core/health/check.js'
import { GiB } from '../../src/lib/units.js'
import { Api } from '../../testkit/api.js'
import { startServerProcess } from '../../testkit/server_process.js'
import { dataBytes, spaceReturnsTo } from '../../testkit/space.js'
import { Churn } from '../../testkit/load/churn.js'
import { Writer } from '../../testkit/load/writer.js'

const kills = Number(process.env.ATOLL_KILLS ?? 50)
const seed = process.env.ATOLL_SEED ?? randomBytes(4).toString('hex')
/** Every so many kills the server is stopped and its store checked; half-way between, as the kill left it. */
const checkEvery = 10
/** Not what is promised, but what is wrong on the slowest machine. */
const restartLimitMs = 10_000

t.setTimeout(240_000 + kills * 40_000)

const server = await startServerProcess(t)
const environment = await server.environment()
const atStart = await dataBytes(server.dataDir)
const volume = await Api.login(environment).then((api) => api.createVolume({ name: 'under load' }))
const uri = server.operatorUri(volume)
const writer = new Writer({ sizeBytes: GiB, seed })
t.teardown(() => writer.end())
const churn = new Churn({ volumeId: volume })
const restartsMs: number[] = []

t.test(`${kills} kills under load lose nothing that was flushed or answered (seed ${seed})`, async (t) => {
  let writes = 0
  for (let round = 1; round <= kills; round++) {
    const api = await Api.login(environment)
    const load = await writer.load(uri, 60)
    const churned = churn.untilTheServerDies(api)
    // Into other work each time. On a slow machine too few calls may be answered: then time decides.
    await churn.reaches(churn.answered + Math.random() * 8, 8000)
    await sleep(Math.random() * 300)
    await server.kill()
    const { died, answered, failed } = await load.ended
    await churned
    writes += answered
    t.ok(died, 'the writer lost its connections')
    t.strictSame(failed, [], 'no write was refused before')
    if (round % checkEvery === checkEvery / 2) {
      const { exitCode, all } = await server.check()
      t.equal(exitCode, 0, `atoll check of what kill ${round} left: ${all}`)
    }

    restartsMs.push(await server.start())
    const last = round === kills
    const verdict = await writer.verify(uri, { whole: last })
    t.equal(verdict.badCount, 0, verdict.bad.join('\n'))
    const restarted = await Api.login(environment)
    t.strictSame(await churn.settle(restarted), [])
    t.strictSame(await changed(restarted), [])
    if (round % checkEvery === 0 || last) {
      await checked(t)
      t.comment(`${round} kills: ${writes} writes and ${churn.answered} API calls answered so far`)
    }
    if (!t.passing()) return t.comment(`stopped after kill ${round}`)
  }
})

t.test('each restart needed no help and little time', async (t) => {
  const sorted = [...restartsMs].sort((a, b) => a - b)
  const median = sorted[sorted.length >> 1] ?? 0
  t.comment(`from start to serving: median ${Math.round(median)} ms, slowest ${Math.round(sorted.at(-1) ?? 0)} ms`)
  t.ok(median < restartLimitMs, 'the median is printed above; here it is only judged for being absurd')
})

t.test('when everything is deleted, the space is as at the start', async (t) => {
  await churn.deleteAll(await Api.login(environment))
  t.equal(await spaceReturnsTo(atStart, server.dataDir), atStart)
  await checked(t)
})

const digests = new Map<string, string>()

/** A snapshot, and a clone that nobody writes to, have the bytes for ever that they had when they were first seen. */
async function changed(api: Api): Promise<string[]> {
  const clones = (await api.list('volumes')).filter(({ id }) => id !== volume)
  const wrong: string[] = []
  for (const { id, name } of [...(await api.list('snapshots')), ...clones]) {
    const digest = await writer.digest(server.operatorUri(id))
    if ((digests.get(id) ?? digest) !== digest) wrong.push(`${name} is not what it was`)
    digests.set(id, digest)
  }
  return wrong
}

/** When the server has given back what the kills left: stops it, checks its store, and starts it again. No orphan stays. */
async function checked(t: Test): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const { reaperBacklog, counters } = await server.status()
    if (reaperBacklog === 0 && counters.garbageEntries === 0) break
    await sleep(100)
  }
  await server.stop()
  const { stdout, all } = await server.check('--json')
  const { findings, notes } = JSON.parse(stdout) as CheckReport
  t.strictSame({ findings, notes }, { findings: [], notes: [] }, `atoll check: ${all}`)
  await server.start()
}

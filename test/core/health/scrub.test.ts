// The scrub of content chunks in a store that is in use: real chunks are damaged on the disk under it.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { checkStore } from '../../../src/cli/check.js'
import type { ProjectCaller } from '../../../src/core/model/records.js'
import { callerNow } from '../../../src/core/policy/rights.js'
import type { ScrubReport, ScrubSettings } from '../../../src/core/health/scrub.js'
import { openStore, type Store } from '../../../src/core/store.js'
import { GiB, KiB, MiB } from '../../../src/lib/units.js'
import { chunkPath, makeWorld } from './check_world.js'
import { pieces } from '../support.js'

t.setTimeout(120_000)

const { dataDir: pristine, world } = await makeWorld(t)
const scratch = await mkdtemp(join(tmpdir(), 'atoll-scrub-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))

/** As the scrub meets them. Of 9 MiB: two of 4 MiB, one of 1 MiB. */
const chunks = [...world.chunks].sort()
const [first = '', , last = ''] = chunks
const dayMs = 24 * 3600_000
const quick: ScrubSettings = { bytesPerSecond: GiB, intervalMs: dayMs }
const overAndOver: ScrubSettings = { ...quick, intervalMs: 0 }
/** After its first step, of about 4 MiB, it waits for a quarter of an hour. */
const slow: ScrubSettings = { ...quick, bytesPerSecond: 4 * KiB }

let copies = 0
function copyOfWorld(): string {
  const dir = join(scratch, String(copies++))
  execFileSync('cp', ['-a', pristine, dir])
  return dir
}

interface Line {
  level: number
  msg: string
  chunk?: string
  damage?: string
}

async function serve(t: Test, dataDir: string, scrub?: ScrubSettings) {
  const lines: Line[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const store = await openStore({ dataDir, log, reactors: 1, ...(scrub && { scrub }) })
  t.teardown(() => store.close())
  store.core.startBackground()
  return { store, lines }
}

async function until(store: Store, met: (report: ScrubReport) => boolean): Promise<ScrubReport> {
  const { scrub } = store.core
  while (!met(scrub.report())) await scrub.changed()
  return scrub.report()
}
const passEnded = ({ pass, lastPass }: ScrubReport) => pass === null && lastPass !== null
const oneStep = ({ pass }: ScrubReport) => pass !== null && pass.chunks > 0

const sizeOf = (dir: string, chunk: string) => readFileSync(chunkPath(dir, chunk)).length

function corrupt(dir: string, chunk: string): void {
  const path = chunkPath(dir, chunk)
  const bytes = readFileSync(path)
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  writeFileSync(path, bytes)
}

/** Content is never read through links: opening it fails. */
function makeUnreadable(dir: string, chunk: string): void {
  const path = chunkPath(dir, chunk)
  renameSync(path, `${path}.elsewhere`)
  symlinkSync(`${path}.elsewhere`, path)
}

t.test('damage is found while the store is in use, and reported like check does, with what it affects', async (t) => {
  const dir = copyOfWorld()
  const { store, lines } = await serve(t, dir, overAndOver)
  await until(store, passEnded)
  t.same(store.core.scrub.report().findings, [], 'all is well')
  corrupt(dir, chunks[0] as string)
  rmSync(chunkPath(dir, chunks[1] as string))
  makeUnreadable(dir, chunks[2] as string)
  const report = await until(store, (now) => passEnded(now) && now.lastPass?.findings === 3)
  const told = lines.filter(({ damage }) => damage !== undefined)
  t.same(
    told.map(({ chunk }) => chunk),
    chunks,
  )
  t.same(
    told.map(({ damage }) => damage),
    ['chunk_corrupt', 'chunk_missing', 'chunk_unreadable'],
  )
  for (const [i, { message, affected, layers }] of report.findings.entries()) {
    t.match(told[i]?.msg, `DAMAGED: ${message}. Affects `)
    for (const id of [world.image, world.object, world.clone]) t.match(told[i]?.msg, id)
    t.match(told[i]?.msg, /machine.*To do: upload the same bytes anew/)
    t.notMatch(told[i]?.msg, world.volume, 'what does not see the chunk is not named')
    t.same(affected.map(({ id }) => id).sort(), [world.image, world.object, world.clone].sort())
    t.same(layers, [world.imageLayer])
  }
  await store.close()

  const { findings } = await checkStore({ data: dir, content: true })
  const asCheck = findings.map(({ kind, message, affected }) => ({ kind, message, affected }))
  const asScrub = report.findings.map(({ kind, message, affected }) => ({ kind, message, affected }))
  // Check has other words for one thing: it looks at a chunk's length first, and that of a link is its target's.
  t.equal(asCheck.length, 3)
  for (const finding of asScrub)
    t.match(
      asCheck.find(({ message }) => message.startsWith(finding.message.slice(0, 80))),
      { affected: finding.affected },
    )
})

t.test('what was put right, and what is not needed any more, is no finding after the next pass', async (t) => {
  const dir = copyOfWorld()
  corrupt(dir, first)
  const kept = readFileSync(chunkPath(dir, last))
  corrupt(dir, last)
  const { store, lines } = await serve(t, dir, overAndOver)
  await until(store, (now) => passEnded(now) && now.findings.length === 2)
  writeFileSync(chunkPath(dir, last), kept)
  const report = await until(store, (now) => passEnded(now) && now.findings.length === 1)
  t.same(
    report.findings.map(({ chunk }) => chunk),
    [first],
  )
  await deleteAll(store)
  await until(store, (now) => passEnded(now) && now.findings.length === 0)
  const gone = lines.filter(({ msg }) => /good again, or not needed any more/.test(msg))
  t.same(
    gone.map(({ chunk }) => chunk),
    [last, first],
  )
})

t.test('an upload of the same bytes brings damaged chunks back, also after a restart', async (t) => {
  const bytes = world.chunks.map((chunk) => readFileSync(chunkPath(pristine, chunk)))
  for (const restart of [false, true]) {
    const dir = copyOfWorld()
    corrupt(dir, chunks[0] as string)
    rmSync(chunkPath(dir, chunks[1] as string))
    makeUnreadable(dir, chunks[2] as string)
    let { store } = await serve(t, dir, overAndOver)
    await until(store, (now) => passEnded(now) && now.findings.length === 3)
    if (restart) {
      await store.close()
      store = (await serve(t, dir, { ...overAndOver, intervalMs: dayMs })).store
      await until(store, (now) => now.findings.length === 3)
    }
    const ann = await owner(store)
    const upload = { body: pieces(...bytes), contentType: 'application/octet-stream' }
    await store.core.objects.put(ann, { projectId: ann.project.id, container: 'box', object: 'again' }, upload)
    if (!restart) await until(store, (now) => passEnded(now) && now.findings.length === 0)
    await store.close()
    t.same((await checkStore({ data: dir, content: true })).findings, [], restart ? 'after a restart' : 'at once')
  }
})

/** Whose things are in the world. */
async function owner({ core }: Store): Promise<ProjectCaller> {
  const { db } = core.catalog
  const volume = await db.selectFrom('volumes').select(['user_id', 'project_id']).executeTakeFirstOrThrow()
  return (await callerNow(db, volume.user_id, { projectId: volume.project_id })) as ProjectCaller
}

/** Everything whose data is in chunks. */
async function deleteAll(store: Store): Promise<void> {
  const { images, objects, volumes } = store.core
  const ann = await owner(store)
  await volumes.delete(ann, world.clone)
  await images.delete(ann, world.image)
  for (const object of ['os.raw', 'small'])
    await objects.delete(ann, { projectId: ann.project.id, container: 'box', object })
  await store.core.settled()
}

t.test('a pass goes on where the last run ended, and the next one waits for its time', async (t) => {
  const dir = copyOfWorld()
  const { store } = await serve(t, dir, slow)
  const { pass } = await until(store, oneStep)
  t.ok(pass && pass.chunks < chunks.length, 'some chunks are left')
  t.ok(pass && pass.progress > 0 && pass.progress < 1)
  // It would wait for a quarter of an hour: the test ends in time only when the shutdown does not.
  await store.close()
  // Behind it, and before it.
  corrupt(dir, first)
  const left = sizeOf(dir, last)
  rmSync(chunkPath(dir, last))

  const { store: again } = await serve(t, dir, quick)
  const { lastPass, findings, nextPassAt } = await until(again, passEnded)
  t.match(lastPass, { startedAt: pass?.startedAt, chunks: chunks.length, bytes: 9 * MiB - left, findings: 1 })
  t.same(
    findings.map(({ chunk }) => chunk),
    [last],
    'what had been read before is not read again',
  )
  t.equal(nextPassAt, (pass?.startedAt ?? 0) + dayMs)
  await again.close()

  const { store: third } = await serve(t, dir, quick)
  await third.core.scrub.stop()
  t.match(third.core.scrub.report(), { pass: null, lastPass, findings: [{ chunk: last }] }, 'what was found is known')
})

t.test('chunks that are deleted in the middle of a pass are no findings', async (t) => {
  const dir = copyOfWorld()
  const { store } = await serve(t, dir, slow)
  const { pass } = await until(store, oneStep)
  rmSync(chunkPath(dir, last))
  await deleteAll(store)
  await store.close()
  const { store: again } = await serve(t, dir, quick)
  t.match(await until(again, passEnded), { findings: [], lastPass: { chunks: pass?.chunks, findings: 0 } })
})

t.test('a rate of 0 is no scrub: no thread, no file; otherwise the thread steps back for all others', async (t) => {
  const dir = copyOfWorld()
  for (const settings of [undefined, { ...quick, bytesPerSecond: 0 }]) {
    const { store } = await serve(t, dir, settings)
    await store.core.settled()
    t.match(store.core.scrub.report(), { bytesPerSecond: 0, pass: null, lastPass: null, nextPassAt: null })
    t.same(scrubThreads(), [])
    await store.close()
    t.notOk(existsSync(join(dir, 'scrub.json')))
  }
  const { store } = await serve(t, dir, quick)
  await until(store, passEnded)
  t.same(scrubThreads(), [19])
})

/** How nice each is. */
function scrubThreads(): number[] {
  const stats = readdirSync('/proc/self/task').map((id) => readFileSync(`/proc/self/task/${id}/stat`, 'utf8'))
  const fields = stats.filter((stat) => stat.includes('(atoll-scrub')).map((stat) => stat.split(') ')[1]?.split(' '))
  return fields.map((rest) => Number(rest?.[16]))
}

t.test('a file that does not say where the scrub was is told, and a pass begins anew', async (t) => {
  const finding = {
    kind: 'chunk_corrupt',
    chunk: first,
    message: '',
    foundAt: 0,
    layers: [],
    affected: [],
    more: false,
  }
  const state = { version: 1, pass: null, lastPass: null, findings: [] as unknown[] }
  const wrong = [
    '',
    '{"version": 1, "pass"',
    '[]',
    JSON.stringify({ ...state, version: 2 }),
    JSON.stringify({ ...state, pass: { startedAt: 1, chunks: 0, bytes: 0, findings: 0, after: 'c'.repeat(63) } }),
    JSON.stringify({ ...state, lastPass: { startedAt: -1, endedAt: 0, chunks: 0, bytes: 0, findings: 0 } }),
    JSON.stringify({ ...state, findings: Array(101).fill(finding) }),
    `${JSON.stringify(state)}${' '.repeat(17 * MiB)}`,
  ]
  const dir = copyOfWorld()
  for (const text of wrong) {
    writeFileSync(join(dir, 'scrub.json'), text)
    const { store, lines } = await serve(t, dir, quick)
    t.match(await until(store, passEnded), { lastPass: { chunks: chunks.length } })
    t.match(lines[0], { level: 40, msg: /where the scrub of content was cannot be read; it begins anew/ })
    await store.close()
  }
})

t.test('a clock that was set back does not put the next pass off', async (t) => {
  const dir = copyOfWorld()
  const startedAt = Date.now() + 3650 * dayMs
  const lastPass = { startedAt, endedAt: startedAt, chunks: 1, bytes: 1, findings: 0 }
  writeFileSync(join(dir, 'scrub.json'), JSON.stringify({ version: 1, pass: null, lastPass, findings: [] }))
  const { store } = await serve(t, dir, quick)
  const { nextPassAt } = await until(store, ({ lastPass }) => lastPass !== null)
  t.ok(nextPassAt !== null && nextPassAt <= Date.now() + dayMs)
})

t.test('where it is cannot be kept: it says so once and goes on', async (t) => {
  const dir = copyOfWorld()
  mkdirSync(join(dir, 'scrub.json.new'))
  const { store, lines } = await serve(t, dir, quick)
  t.match(await until(store, passEnded), { lastPass: { chunks: chunks.length } })
  await store.close()
  t.equal(lines.filter(({ msg }) => /where the scrub of content is cannot be kept/.test(msg)).length, 1)
})

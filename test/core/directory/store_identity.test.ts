// A part of the store that is missing, empty, damaged or an older copy, and a catalog that is, are refused by name, by the server and by
// --repair; what a kill or a power cut leaves never is.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkStore } from '../../../src/cli/check.js'
import { openStore } from '../../../src/core/store.js'
import { compare, type FoundMarks } from '../../../src/core/directory/store_identity.js'
import { markPath, partPath, type StorePart, storeParts } from '../../../src/core/directory/store_marks.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { silentLogger } from '../../../src/lib/log.js'
import { MiB } from '../../../src/lib/units.js'
import { contentsOf, inCatalog, makeWorld } from '../health/check_world.js'

t.setTimeout(900_000)

// ---- the comparison ----

const id = '11111111-1111-4111-8111-111111111111'
const otherId = '22222222-2222-4222-8222-222222222222'

type Generations = Record<StorePart, number | 'none'>

function marksOf(generations: Generations, settled: boolean, store = id): FoundMarks {
  const found = storeParts.map((part) => {
    const generation = generations[part]
    return [
      part,
      generation === 'none'
        ? { problem: 'it has no mark', missing: true, directoryMissing: false }
        : { mark: { store, generation, settled, recordsReach: 0 } },
    ]
  })
  return Object.fromEntries(found) as FoundMarks
}

interface Moment {
  name: string
  /** Of the catalog; undefined: it knows of no store. */
  catalog: number | undefined
  marks: FoundMarks
}

/** Every state on the disk that a step from generation n - 1 to n goes through (invariant 1 of store_identity.ts). */
function momentsOfStep(n: number): Moment[] {
  const before = n === 1 ? 'none' : n - 1
  const catalogBefore = n === 1 ? undefined : n - 1
  const parts: Generations = { records: before, store: before, data: before, content: before }
  const moments: Moment[] = [{ name: `before the step to ${n}`, catalog: catalogBefore, marks: marksOf(parts, n > 1) }]
  for (const part of storeParts) {
    parts[part] = n
    moments.push({ name: `${part} has ${n}`, catalog: catalogBefore, marks: marksOf(parts, false) })
  }
  moments.push({ name: `the catalog has ${n}`, catalog: n, marks: marksOf(parts, false) })
  moments.push({ name: `${n} is settled`, catalog: n, marks: marksOf(parts, true) })
  return moments
}

const known = (generation: number | undefined) => (generation === undefined ? undefined : { id, generation })

t.test('a kill or a power cut at any moment of a step is no mismatch', async (t) => {
  for (const n of [1, 2, 3, 9])
    for (const { name, catalog, marks } of momentsOfStep(n)) t.equal(compare(known(catalog), marks), undefined, name)
})

t.test('a part older or newer than the rest is named at any moment, and the rest is not', async (t) => {
  // What was served in between has changed both: at least one settled generation apart.
  const old = momentsOfStep(5)
  const now = momentsOfStep(7)
  for (const before of old)
    for (const after of now)
      for (const part of storeParts) {
        const olderPart = compare(known(after.catalog), { ...after.marks, [part]: before.marks[part] })
        t.match(olderPart?.words.join('; '), new RegExp(`store(/${part})? is an older copy`), `${part} ${before.name}`)
        t.equal(olderPart?.catalogOlder, false)
        const newerPart = compare(known(before.catalog), { ...before.marks, [part]: after.marks[part] })
        t.match(newerPart?.words.join('; '), /^catalog.db is an older copy/, `${part} ${after.name}`)
      }
})

t.test('a catalog of one generation before is told once that generation has been used', async (t) => {
  const [settled] = momentsOfStep(7).slice(-1)
  t.match(compare(known(6), (settled as Moment).marks), { catalogOlder: true })
  t.match(compare(undefined, (settled as Moment).marks), { catalogOlder: true })
})

t.test('marks of another store, and marks that are missing, are told by name', async (t) => {
  const all: Generations = { records: 3, store: 3, data: 3, content: 3 }
  const foreign = compare(known(3), { ...marksOf(all, true), data: marksOf(all, true, otherId).data })
  t.strictSame(foreign?.words, [`store/data belongs to another store (${otherId}, and the catalog to ${id})`])
  for (const part of storeParts) {
    const found = compare(known(3), marksOf({ ...all, [part]: 'none' }, true))
    t.strictSame(found?.words, [`${part === 'store' ? 'store' : `store/${part}`}: it has no mark`])
  }
})

// ---- real stores ----

const { dataDir: pristine, world } = await makeWorld(t)
const scratch = await mkdtemp(join(tmpdir(), 'atoll-identity-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))
const contents = await contentsOf(pristine)
const older = await copyOf(pristine)
// Each opening is a generation further. This one leaves records in the log that are in no table yet; nobody compares what it writes.
{
  const store = await open(pristine)
  const lease = await store.core.tree.lease(world.volumeResource as ResourceId)
  await lease.write(64 * MiB, Buffer.alloc(MiB, 'later'))
  await lease.flush()
  await lease.close()
  await store.close()
}

function open(dataDir: string) {
  return openStore({ dataDir, log: silentLogger(), reactors: 1 })
}

async function copyOf(dir: string): Promise<string> {
  const copy = await mkdtemp(join(scratch, 'copy-'))
  execFileSync('cp', ['-a', '--sparse=always', `${dir}/.`, copy])
  return copy
}

function filesOf(dir: string): string {
  return execFileSync('find', ['.', '-type', 'f', '-not', '-name', '*-shm', '-not', '-name', 'lock*'], {
    cwd: dir,
    encoding: 'utf8',
  })
    .split('\n')
    .sort()
    .join('\n')
}

function filesLike(folder: string, pattern: RegExp): string[] {
  const names = readdirSync(folder).filter((each) => pattern.test(each))
  if (names.length === 0) throw new Error(`${folder} has nothing like ${pattern}`)
  return names.map((name) => join(folder, name))
}
const recordsOf = (dir: string) => join(dir, 'store', 'records')

function replaceByOlder(dir: string, ...names: string[]): void {
  for (const name of names) {
    rmSync(join(dir, name), { recursive: true, force: true })
    if (existsSync(join(older, name))) execFileSync('cp', ['-a', join(older, name), join(dir, name)])
  }
}

interface Case {
  name: string
  damage(dir: string): void
  /** Default: store_mismatch. */
  code?: string
  /** What the refusal must name. */
  says: RegExp
  /** The kind of the finding. Default: store_mismatch. */
  kind?: string
}

const cases: Case[] = [
  { name: 'no store', damage: (dir) => rmSync(join(dir, 'store'), { recursive: true }), says: /store: it is missing/ },
  {
    name: 'an empty directory for the store',
    damage: (dir) => {
      rmSync(join(dir, 'store'), { recursive: true })
      mkdirSync(join(dir, 'store'))
    },
    says: /store: it has no mark/,
  },
  { name: 'an older store', damage: (dir) => replaceByOlder(dir, 'store'), says: /store is an older copy/ },
  ...(['records', 'data', 'content'] as const).flatMap((part): Case[] => [
    {
      name: `no ${part}`,
      damage: (dir) => rmSync(partPath(join(dir, 'store'), part), { recursive: true }),
      says: new RegExp(`store/${part}: it is missing`),
    },
    {
      name: `an empty directory for ${part}`,
      damage: (dir) => {
        rmSync(partPath(join(dir, 'store'), part), { recursive: true })
        mkdirSync(partPath(join(dir, 'store'), part))
      },
      says: new RegExp(`store/${part}: it has no mark`),
    },
    {
      name: `an older ${part}`,
      damage: (dir) => replaceByOlder(dir, `store/${part}`),
      says: new RegExp(`store/${part} is an older copy`),
    },
  ]),
  ...storeParts.flatMap((part): Case[] => {
    const mark = (dir: string) => markPath(join(dir, 'store'), part)
    const name = part === 'store' ? 'store' : `store/${part}`
    return [
      { name: `no mark of ${part}`, damage: (dir) => rmSync(mark(dir)), says: new RegExp(`${name}: it has no mark`) },
      {
        name: `an empty mark of ${part}`,
        damage: (dir) => truncateSync(mark(dir)),
        says: new RegExp(`${name}: its mark is damaged`),
      },
      {
        name: `a mark of ${part} that is cut short`,
        damage: (dir) => truncateSync(mark(dir), 100),
        says: new RegExp(`${name}: its mark is damaged`),
      },
      {
        name: `an older mark of ${part}`,
        damage: (dir) => replaceByOlder(dir, `store/${part === 'store' ? '' : `${part}/`}mark`),
        says: new RegExp(`${name} is an older copy`),
      },
    ]
  }),
  {
    name: 'records without their file CURRENT',
    damage: (dir) => rmSync(join(recordsOf(dir), 'CURRENT')),
    says: /store\/records: it has no records/,
  },
  ...Object.entries({ CURRENT: /^CURRENT$/, 'the manifest': /^MANIFEST-/, 'the log': /\.log$/ }).flatMap(
    ([name, pattern]): Case[] => {
      const each = (dir: string, change: (path: string) => void) => {
        for (const file of filesLike(recordsOf(dir), pattern)) change(file)
      }
      const refusal = { code: 'storage', says: /records: /, kind: 'records_unreadable' }
      const empty = {
        name: `records: ${name} is empty`,
        damage: (dir: string) => each(dir, (file) => truncateSync(file)),
      }
      const gone = { name: `records: ${name} is missing`, damage: (dir: string) => each(dir, (file) => rmSync(file)) }
      return [{ ...empty, ...refusal }, ...(name === 'CURRENT' ? [] : [{ ...gone, ...refusal }])]
    },
  ),
  {
    name: 'no catalog',
    damage: (dir) => {
      for (const name of ['catalog.db', 'catalog.db-wal', 'catalog.db-shm']) rmSync(join(dir, name), { force: true })
    },
    says: /catalog.db: it is missing/,
    kind: 'none: check says that there is no catalog',
  },
  {
    name: 'an older catalog',
    damage: (dir) => replaceByOlder(dir, 'catalog.db', 'catalog.db-wal', 'catalog.db-shm'),
    code: 'catalog_older',
    kind: 'catalog_older',
    says: /catalog.db is an older copy, or a new one: store\/records has generation \d+, the catalog \d+/,
  },
  {
    name: 'a catalog from before there were marks',
    damage: (dir) => inCatalog(dir, (db) => db.exec('delete from store_identity')),
    code: 'catalog_older',
    kind: 'catalog_older',
    says: /catalog.db is an older copy, or a new one/,
  },
  {
    name: 'the catalog of another store',
    damage: (dir) => inCatalog(dir, (db) => db.prepare('update store_identity set id = ?').run(otherId)),
    says: /store\/records belongs to another store/,
  },
]

for (const { name, damage, code = 'store_mismatch', says, kind = 'store_mismatch' } of cases) {
  t.test(`${name}: the server refuses to start, check tells it, and repair changes nothing`, async (t) => {
    const dir = await copyOf(pristine)
    damage(dir)
    const before = filesOf(dir)
    if (kind.startsWith('none')) {
      await t.rejects(checkStore({ data: dir }), { code: 'catalog_missing' })
    } else {
      const told = await checkStore({ data: dir })
      const found = told.findings.filter((finding) => finding.kind === kind)
      t.match(found.map(({ message }) => message).join('; '), says)
      const after = await checkStore({ data: dir, repair: true })
      t.strictSame(after.repaired, [])
      t.match(after.refused, /^nothing is repaired/)
      t.ok(after.findings.some((finding) => finding.kind === kind))
      t.equal(filesOf(dir), before)
    }
    for (const attempt of ['first', 'second'])
      await t.rejects(open(dir), { message: says, code: new RegExp(`^${code}`) }, `the ${attempt} start`)
    if (code !== 'storage') t.equal(filesOf(dir), before, 'and nothing is made or removed')
    await rm(dir, { recursive: true, force: true })
  })
}

async function isWhole(t: Test, dir: string): Promise<void> {
  t.strictSame(await contentsOf(dir), contents)
  t.strictSame((await checkStore({ data: dir, content: true })).findings, [])
}

t.test('what was put back right is served as before', async (t) => {
  const dir = await copyOf(pristine)
  renameSync(join(dir, 'store', 'content'), join(scratch, 'kept'))
  mkdirSync(join(dir, 'store', 'content'))
  await t.rejects(open(dir), { code: 'store_mismatch' })
  rmSync(join(dir, 'store', 'content'), { recursive: true })
  renameSync(join(scratch, 'kept'), join(dir, 'store', 'content'))
  await isWhole(t, dir)
})

t.test('a copy of the whole directory, an older one too, is served', async (t) => {
  await isWhole(t, await copyOf(pristine))
  await isWhole(t, await copyOf(older))
})

t.test('a copy of a running server is distinguished from the store after the next step', async (t) => {
  const dir = await copyOf(pristine)
  const store = await open(dir)
  const taken = await copyOf(join(dir, 'store'))
  await store.identity.step()
  await store.close()
  rmSync(join(dir, 'store'), { recursive: true })
  renameSync(taken, join(dir, 'store'))
  await t.rejects(open(dir), {
    code: 'store_mismatch',
    message: /store\/records is an older copy.*; store is an older/,
  })
})

// ---- stores from before there were marks ----

function forgetIdentity(dir: string): void {
  for (const part of storeParts) rmSync(markPath(join(dir, 'store'), part), { force: true })
  inCatalog(dir, (db) => db.exec('delete from store_identity'))
}

t.test('a store from before there were marks gets them at its first start', async (t) => {
  const dir = await copyOf(pristine)
  forgetIdentity(dir)
  t.strictSame((await checkStore({ data: dir, content: true })).findings, [])
  await isWhole(t, dir)
  for (const part of storeParts)
    t.match(readFileSync(markPath(join(dir, 'store'), part), 'utf8'), /^atoll store mark 1/)
  rmSync(join(dir, 'store', 'data'), { recursive: true })
  await t.rejects(open(dir), { code: 'store_mismatch' })
})

for (const part of ['store', 'records', 'data', 'content'] as const)
  for (const how of ['missing', 'empty'] as const)
    t.test(`a store from before there were marks is refused where ${part} is ${how}`, async (t) => {
      const dir = await copyOf(pristine)
      forgetIdentity(dir)
      const path = partPath(join(dir, 'store'), part)
      const named = part === 'store' ? 'store(/records)?' : `store/${part}`
      rmSync(path, { recursive: true })
      if (how === 'empty') mkdirSync(path)
      const before = filesOf(dir)
      await t.rejects(open(dir), { code: 'store_mismatch', message: new RegExp(`${named}: it `) })
      t.equal(filesOf(dir), before)
    })

t.test('a first start that was cut off while it made the marks is made up for', async (t) => {
  for (const [at] of storeParts.entries()) {
    const dir = await copyOf(pristine)
    inCatalog(dir, (db) => db.exec('delete from store_identity'))
    for (const [index, part] of storeParts.entries()) {
      const path = markPath(join(dir, 'store'), part)
      const text = readFileSync(path, 'latin1')
      if (index > at) rmSync(path)
      else
        writeFileSync(
          path,
          text
            .replace(/generation \d+/, 'generation 1')
            .replace(/state \w+/, 'state begun')
            .trimEnd()
            .concat('\n')
            .padEnd(255)
            .concat('\n'),
        )
    }
    await isWhole(t, dir)
  }
})

t.test('a new directory has an identity from its first start on, and each start is a generation', async (t) => {
  const dir = join(scratch, 'new')
  const generations: number[] = []
  for (let start = 0; start < 3; start++) {
    const store = await open(dir)
    const row = await store.catalog.db.selectFrom('store_identity').selectAll().executeTakeFirstOrThrow()
    generations.push(row.generation)
    await store.close()
    t.match(
      readFileSync(markPath(join(dir, 'store'), 'records'), 'utf8'),
      `generation ${row.generation}\nstate settled`,
    )
  }
  t.strictSame(generations, [1, 2, 3])
})

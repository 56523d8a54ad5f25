// Every kind of damage that check knows is made in a real store; check must say it in its words and name who is affected;
// --repair must put right what it promises, lose nothing that was there, and leave the rest alone.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { Catalog } from '../../../src/catalog/catalog.js'
import { checkStore } from '../../../src/cli/check.js'
import { DataDirectory } from '../../../src/core/directory/data_directory.js'
import { type DamageKind, damages } from '../../../src/core/health/damage.js'
import { openStore } from '../../../src/core/store.js'
import type { LayerId, ResourceId } from '../../../src/lib/ids.js'
import { silentLogger } from '../../../src/lib/log.js'
import { MiB } from '../../../src/lib/units.js'
import {
  chunkKey,
  chunkPath,
  contentsOf,
  count,
  fileKey,
  filePath,
  inCatalog,
  ldb,
  makeWorld,
  punchKey,
  put,
  recordKey,
  records,
  tableFile,
  type World,
} from './check_world.js'

t.setTimeout(280_000)

const { dataDir: pristine, world } = await makeWorld(t)
const scratch = await mkdtemp(join(tmpdir(), 'atoll-check-'))
t.teardown(() => rm(scratch, { recursive: true, force: true }))
const contents = await contentsOf(pristine)

interface Case {
  name: string
  kind: DamageKind
  /** What comes of it besides. */
  also?: DamageKind[]
  damage(dir: string, world: World): void
  /** Things that must be named, as `kind id`. */
  affects?: string[]
  /** With these bytes. */
  ranges?: [offset: number, length: number][]
  /** Told as a note. */
  note?: boolean
  content?: boolean
  /** Default: whether damage.ts says that --repair does something. */
  repaired?: boolean
  /** The server does not start on it. Otherwise it does, and when all was repaired everything reads as before. */
  starts?: false
}

const { volumeHead, snapshotLayer, cloneHead, imageLayer } = world
const [firstChunk = '', secondChunk = '', lastChunk = ''] = world.chunks
const image = `image ${world.image}`
const object = `object ${world.object}`
const volume = `volume ${world.volume}`
const clone = `volume ${world.clone}`
const snapshot = `snapshot ${world.snapshot}`
const otherDigest = 'ab'.repeat(32)

function change(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

const cases: Case[] = [
  // ---- the directory ----
  {
    name: 'a format file that was never finished',
    kind: 'format_unreadable',
    damage: (dir) => writeFileSync(join(dir, 'format'), 'atoll da'),
  },
  { name: 'no format file', kind: 'format_unreadable', damage: (dir) => rmSync(join(dir, 'format')) },
  {
    name: 'a catalog that is cut off',
    kind: 'catalog_unreadable',
    damage: (dir) => {
      inCatalog(dir, (db) => db.pragma('wal_checkpoint(truncate)'))
      truncateSync(join(dir, 'catalog.db'), 64 << 10)
    },
    starts: false,
  },
  {
    name: 'an empty catalog',
    kind: 'catalog_unreadable',
    damage: (dir) => {
      for (const name of ['catalog.db-wal', 'catalog.db-shm']) rmSync(join(dir, name), { force: true })
      writeFileSync(join(dir, 'catalog.db'), '')
    },
    starts: false,
  },
  {
    name: 'an older catalog than the store',
    kind: 'catalog_older',
    also: ['layer_missing'],
    damage: (dir) =>
      inCatalog(dir, (db) => {
        db.exec("update sequences set next = 1 where name = 'layers'")
        db.exec('delete from layers')
      }),
    starts: false,
  },
  {
    name: 'an empty directory in place of the data files',
    kind: 'store_mismatch',
    also: ['file_missing'],
    damage: (dir) => {
      rmSync(join(dir, 'store', 'data'), { recursive: true })
      mkdirSync(join(dir, 'store', 'data'))
    },
    starts: false,
  },
  {
    name: 'a bit that flipped in a table of the record store',
    kind: 'records_unreadable',
    damage: (dir) => change(tableFile(dir), 20),
    starts: false,
  },
  {
    name: 'a table of the record store that is gone',
    kind: 'records_unreadable',
    damage: (dir) => rmSync(tableFile(dir)),
    starts: false,
  },

  // ---- rows ----
  {
    name: 'an image whose resource is gone',
    kind: 'resource_missing',
    also: ['resource_missing'],
    damage: (dir) => inCatalog(dir, (db) => db.prepare('delete from resources where id = ?').run(world.imageResource)),
  },
  {
    name: 'a resource whose layer has no row',
    kind: 'layer_missing',
    damage: (dir) => inCatalog(dir, (db) => db.prepare('delete from layers where id = ?').run(volumeHead)),
    affects: [volume],
  },
  {
    name: 'two layers that are each other’s parent',
    kind: 'layer_cycle',
    also: ['layer_cycle', 'layer_unsealed'],
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare('update layers set parent = ? where id = ?').run(volumeHead, snapshotLayer)),
    affects: [volume, snapshot],
  },
  {
    name: 'a volume of no project',
    kind: 'reference_broken',
    also: ['block_counts'],
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare("update volumes set project_id = 'x' where id = ?").run(world.clone)),
  },
  {
    name: 'a property of no image',
    kind: 'row_dangling',
    damage: (dir) => inCatalog(dir, (db) => db.exec("insert into image_properties values ('x', 'a', 'b')")),
  },
  {
    name: 'a layer with a child that is not sealed',
    kind: 'layer_unsealed',
    also: ['head_unsealed'],
    damage: (dir) => inCatalog(dir, (db) => db.prepare('update layers set sealed = 0 where id = ?').run(snapshotLayer)),
    affects: [volume, snapshot],
  },
  {
    name: 'a layer in use that is marked as being dropped',
    kind: 'layer_dropping',
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare("update layers set state = 'dropping' where id = ?").run(imageLayer)),
    affects: [image, object, clone],
  },
  {
    name: 'an image whose layer is not sealed',
    kind: 'head_unsealed',
    also: ['layer_unsealed'],
    damage: (dir) => inCatalog(dir, (db) => db.prepare('update layers set sealed = 0 where id = ?').run(imageLayer)),
    affects: [image, object],
  },
  {
    name: 'a volume that writes to a sealed layer',
    kind: 'head_sealed',
    damage: (dir) => inCatalog(dir, (db) => db.prepare('update layers set sealed = 1 where id = ?').run(cloneHead)),
    affects: [clone],
  },
  {
    name: 'two volumes on one layer that is not sealed',
    kind: 'head_sealed',
    also: ['head_sealed', 'resource_unowned'],
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare("insert into resources values ('r', 'rw', 1073741824, ?, 0)").run(volumeHead)),
    affects: [volume],
    repaired: false, // the resource of nobody stays
  },
  {
    name: 'a volume that shows more of its parent than it is long',
    kind: 'limit_wrong',
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare('update layers set parent_limit_blocks = 999999 where id = ?').run(volumeHead)),
    affects: [volume],
  },
  {
    name: 'a root that shows blocks of a parent',
    kind: 'limit_wrong',
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare('update layers set parent_limit_blocks = 5 where id = ?').run(imageLayer)),
    affects: [image],
  },
  {
    name: 'a number for a layer that is taken',
    kind: 'layer_numbers',
    damage: (dir) => inCatalog(dir, (db) => db.exec("insert into layers values (100000, null, 0, 1, 'live', 0)")),
  },
  {
    name: 'a resource without an owner',
    kind: 'resource_unowned',
    also: ['row_dangling', 'block_counts'],
    damage: (dir) => inCatalog(dir, (db) => db.prepare('delete from volumes where id = ?').run(world.clone)),
  },
  {
    name: 'a volume that is not as large as its resource',
    kind: 'size_mismatch',
    also: ['block_counts'],
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare('update volumes set size_gib = 7 where id = ?').run(world.clone)),
  },
  {
    name: 'an image that is not as large as its resource',
    kind: 'size_mismatch',
    damage: (dir) =>
      inCatalog(dir, (db) => db.prepare('update images set size_bytes = 1 where id = ?').run(world.image)),
  },
  {
    name: 'a container that counts wrong',
    kind: 'container_counts',
    also: ['account_counts'],
    damage: (dir) => inCatalog(dir, (db) => db.exec('update containers set object_count = 77')),
  },
  {
    name: 'an account that counts wrong',
    kind: 'account_counts',
    damage: (dir) => inCatalog(dir, (db) => db.exec('update accounts set bytes_used = 1')),
  },
  {
    name: 'a project that counts its volumes wrong',
    kind: 'block_counts',
    damage: (dir) => inCatalog(dir, (db) => db.exec('update block_usage set volume_gib = volume_gib + 1')),
  },
  {
    name: 'a project whose count of volumes and snapshots is lost',
    kind: 'block_counts',
    damage: (dir) => inCatalog(dir, (db) => db.exec('delete from block_usage')),
  },

  // ---- records ----
  {
    name: 'a record that cannot be read',
    kind: 'record_unreadable',
    also: ['count_high', 'chunk_unmentioned'],
    damage: (dir) => put(dir, recordKey(imageLayer, 1), '01ff'),
    affects: [image, object, clone],
    ranges: [[4 * MiB, 4 * MiB]],
  },
  {
    name: 'a record that is cut short',
    kind: 'record_unreadable',
    also: ['count_high', 'chunk_unmentioned'],
    damage: (dir) => {
      const key = recordKey(imageLayer, 0)
      put(dir, key, (records(dir).get(key) as string).slice(0, -2))
    },
    affects: [image, object, clone],
  },
  {
    name: 'a record of the wrong digest',
    kind: 'chunk_missing',
    also: ['count_low', 'count_high', 'chunk_unmentioned'],
    damage: (dir) => {
      const key = recordKey(imageLayer, 0)
      put(dir, key, (records(dir).get(key) as string).replace(firstChunk, otherDigest))
    },
    affects: [image, object, clone],
  },
  {
    name: 'a key that nobody knows',
    kind: 'key_unknown',
    damage: (dir) => put(dir, '7a7a', '00'),
  },
  {
    name: 'a record in the wrong layer: two own the same blocks',
    kind: 'blocks_shared',
    also: ['count_low'],
    damage: (dir) => put(dir, recordKey(cloneHead, 1), records(dir).get(recordKey(snapshotLayer, 1)) as string),
    affects: [clone],
  },
  {
    name: 'a layer that no row knows',
    kind: 'layer_unknown',
    damage: (dir) => {
      put(dir, recordKey(999, 0), `01010001${'00'}`)
    },
    note: true,
  },
  {
    name: 'a count that is no number',
    kind: 'count_unreadable',
    damage: (dir) => put(dir, chunkKey('c', firstChunk), '01'),
  },
  {
    name: 'a count that is too low',
    kind: 'count_low',
    damage: (dir) => ldb(dir, 'delete', `0x${chunkKey('c', secondChunk)}`),
  },
  {
    name: 'a count that is too high',
    kind: 'count_high',
    damage: (dir) => put(dir, fileKey('f', snapshotLayer), count(9)),
  },
  {
    name: 'a count of what is not there',
    kind: 'count_high',
    damage: (dir) => put(dir, chunkKey('c', otherDigest), count(1)),
  },
  {
    name: 'a garbage entry that is no bitmap',
    kind: 'garbage_unreadable',
    damage: (dir) => put(dir, punchKey(volumeHead, 0), '0102'),
  },
  {
    name: 'blocks in use that are marked as garbage',
    kind: 'garbage_in_use',
    damage: (dir) => put(dir, punchKey(snapshotLayer, 0), 'ff'.repeat(128)),
  },
  {
    name: 'a data file in use that is marked as garbage',
    kind: 'garbage_in_use',
    damage: (dir) => put(dir, fileKey('gf', volumeHead), '00'),
  },
  {
    name: 'a chunk in use that is marked as garbage',
    kind: 'garbage_in_use',
    damage: (dir) => put(dir, chunkKey('gc', lastChunk), '00'),
  },

  // ---- data files ----
  {
    name: 'a data file that is missing',
    kind: 'file_missing',
    damage: (dir) => rmSync(filePath(dir, snapshotLayer)),
    affects: [volume, snapshot],
    ranges: [
      [0, MiB],
      [3 * MiB, 2 * MiB],
    ],
  },
  {
    name: 'a data file that is cut short',
    kind: 'file_short',
    damage: (dir) => truncateSync(filePath(dir, snapshotLayer), 4 * MiB + 8192),
    affects: [volume, snapshot],
    ranges: [[4 * MiB + 8192, MiB - 8192]],
  },
  {
    name: 'a data file of nobody',
    kind: 'file_unmentioned',
    damage: (dir) => {
      mkdirSync(dirname(filePath(dir, 0x7777)), { recursive: true })
      writeFileSync(filePath(dir, 0x7777), 'x'.repeat(10_000))
    },
  },
  {
    name: 'space in a data file that no record accounts for',
    kind: 'space_unaccounted',
    damage: (dir) => {
      const path = filePath(dir, volumeHead)
      const bytes = readFileSync(path)
      writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(MiB, 'x')]))
    },
    note: true,
  },

  // ---- content ----
  {
    name: 'records that do not agree on the length of a chunk',
    kind: 'chunk_length',
    also: ['count_low', 'count_high', 'chunk_unmentioned'],
    damage: (dir) => {
      const value = records(dir).get(recordKey(imageLayer, 0)) as string
      put(dir, recordKey(imageLayer, 2), value.replace('00004000', '00100000'))
    },
    affects: [image, object, clone],
  },
  {
    name: 'a chunk that is missing',
    kind: 'chunk_missing',
    damage: (dir) => rmSync(chunkPath(dir, firstChunk)),
    // The first block of the clone is its own.
    affects: [image, object, clone],
    ranges: [[4096, 4 * MiB - 4096]],
  },
  {
    name: 'a chunk that is cut short',
    kind: 'chunk_corrupt',
    damage: (dir) => truncateSync(chunkPath(dir, lastChunk), 1000),
    affects: [image, object, clone],
    ranges: [[8 * MiB, MiB]],
  },
  {
    name: 'a chunk in which a bit flipped',
    kind: 'chunk_corrupt',
    damage: (dir) => change(chunkPath(dir, secondChunk), 12345),
    content: true,
    affects: [image, object, clone],
    ranges: [[4 * MiB, 4 * MiB]],
  },
  {
    name: 'a chunk that cannot be read',
    kind: 'chunk_unreadable',
    damage: (dir) => {
      const path = chunkPath(dir, lastChunk)
      const target = `${path}.elsewhere`
      execFileSync('mv', [path, target])
      // Content is never read through links.
      execFileSync('ln', ['-s', target, path])
      execFileSync('truncate', ['-s', String(MiB), path])
    },
    content: true,
    affects: [image, object, clone],
  },
  {
    name: 'a chunk of nobody',
    kind: 'chunk_unmentioned',
    damage: (dir) => {
      mkdirSync(dirname(chunkPath(dir, otherDigest)), { recursive: true })
      writeFileSync(chunkPath(dir, otherDigest), 'whatever')
    },
  },
]

/** `…` stands for anything. */
function pattern(says: string): RegExp {
  const parts = says.split('…').map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`)
}

t.test('a store that nothing happened to is clean', async (t) => {
  const { findings, notes, surplus, space } = await checkStore({ data: pristine, content: true })
  t.strictSame([findings, notes, surplus], [[], [], []])
  t.match(space, { chunks: 3, chunkBytes: 9 * MiB, chunksVerified: 3, dataBytesMentioned: 7 * MiB + 4096 })
})

for (const { name, kind, also = [], damage, affects = [], ranges, note, content = false, starts, ...more } of cases) {
  t.test(`${kind}: ${name}`, async (t) => {
    const dir = await mkdtemp(join(scratch, 'case-'))
    execFileSync('cp', ['-a', '--sparse=always', `${pristine}/.`, dir])
    damage(dir, world)

    const told = await checkStore({ data: dir, content })
    if (note) {
      t.strictSame(told.findings, [])
      t.match([...told.notes, ...told.surplus], [pattern(damages[kind].says)])
    } else {
      const kinds = told.findings.map((finding) => finding.kind)
      t.ok(kinds.includes(kind), `${kind} is among ${kinds}`)
      t.strictSame(
        kinds.filter((each) => each !== kind && !also.includes(each)),
        [],
        'and nothing else',
      )
      const findings = told.findings.filter((finding) => finding.kind === kind)
      for (const { message } of findings) t.match(message, pattern(damages[kind].says))
      const named = findings.flatMap((finding) => finding.affected)
      for (const thing of affects)
        t.ok(
          named.some(({ kind, id }) => `${kind} ${id}` === thing),
          `${thing} is affected`,
        )
      const seen = named.flatMap((thing) => thing.ranges)
      for (const [offset, length] of ranges ?? [])
        t.ok(
          seen.some((range) => range.offset === offset && range.length === length),
          `${offset}+${length}`,
        )
    }

    const stored = () =>
      execFileSync('find', ['data', 'content', '-type', 'f'], { cwd: join(dir, 'store'), encoding: 'utf8' })
    const before = stored()
    const { repaired = damages[kind].repair !== undefined } = more
    const after = await checkStore({ data: dir, content, repair: true })
    if (repaired) {
      t.not(after.repaired.length, 0, 'it says what it did')
      t.strictSame([after.findings, after.notes, after.surplus], [[], [], []], 'and all is well')
    } else {
      t.ok(
        after.findings.some((finding) => finding.kind === kind || also.includes(finding.kind)),
        'it stays, and is told',
      )
      t.equal(stored(), before, 'and nothing is removed')
    }
    if (starts === false) {
      await t.rejects(openStore({ dataDir: dir, log: silentLogger(), reactors: 1 }))
    } else if (repaired) {
      t.strictSame(await contentsOf(dir), contents, 'every byte is as it was')
    }
    await rm(dir, { recursive: true, force: true })
  })
}

t.test('a first start that was cut off is no damage', async (t) => {
  const dir = await mkdtemp(join(scratch, 'first-'))
  const { unlock } = DataDirectory.open(dir)
  unlock()
  await (await Catalog.open({ path: join(dir, 'catalog.db') })).close()
  const note = /^the first start did not come to its end/
  t.match(await checkStore({ data: dir, repair: true }), { findings: [], notes: [note], repaired: [] })
  for (const name of ['catalog.db-wal', 'catalog.db-shm']) rmSync(join(dir, name), { force: true })
  writeFileSync(join(dir, 'catalog.db'), '')
  t.match(await checkStore({ data: dir }), { findings: [], notes: [note] })
  await (await openStore({ dataDir: dir, log: silentLogger(), reactors: 1 })).close()
  t.match(await checkStore({ data: dir }), { findings: [], notes: [] })
})

t.test(
  'a server on a damaged tree drops nothing that a row refers to, and reads no zeros in place of it',
  async (t) => {
    const dir = await mkdtemp(join(scratch, 'tree-'))
    execFileSync('cp', ['-a', '--sparse=always', `${pristine}/.`, dir])
    inCatalog(dir, (db) => db.prepare('delete from layers where id = ?').run(snapshotLayer))
    const store = await openStore({ dataDir: dir, log: silentLogger(), reactors: 1 })
    store.core.startBackground()
    await store.core.settled()
    t.ok((await store.engine.layers.list()).includes(snapshotLayer as LayerId))
    await t.rejects(store.core.tree.lease(world.volumeResource as ResourceId), { code: 'tree_damaged' })
    await store.close()
  },
)

t.test('every kind of damage is made here', async (t) => {
  const made = new Set(cases.map(({ kind }) => kind))
  const kinds = (Object.keys(damages) as DamageKind[]).filter((kind) => kind !== 'more')
  t.strictSame(
    kinds.filter((kind) => !made.has(kind)),
    [],
  )
})

t.test('docs/internals/reliability.md shows this table (ATOLL_UPDATE_DOCS=1 brings it there)', async (t) => {
  const page = new URL('../../../docs/internals/reliability.md', import.meta.url)
  const found = Object.entries(damages)
  const table = [
    '| kind | severity | message | what `--repair` does |',
    '|---|---|---|---|',
    ...found.map(([kind, { severity, says, repair }]) => `| \`${kind}\` | ${severity} | ${says} | ${repair ?? '—'} |`),
  ]
  // Too long for the table, and the same for many kinds.
  const todos = new Map<string, string[]>()
  for (const [kind, { todo }] of found) if (todo !== undefined) todos.set(todo, [...(todos.get(todo) ?? []), kind])
  const list = [...todos].map(([todo, kinds]) => `* ${kinds.map((kind) => `\`${kind}\``).join(', ')}: ${todo}`)
  const begin = '<!-- damages: from src/core/health/damage.ts -->\n'
  const end = '\n<!-- end of damages -->'
  const text = readFileSync(page, 'utf8')
  const [head = '', rest = ''] = text.split(begin)
  const updated = `${head}${begin}${[...table, '', 'What is left to do:', '', ...list].join('\n')}${rest.slice(rest.indexOf(end))}`
  if (process.env.ATOLL_UPDATE_DOCS) writeFileSync(page, updated)
  t.equal(readFileSync(page, 'utf8'), updated)
})

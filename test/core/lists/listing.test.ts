import t from 'tap'
import {
  compareNames,
  type ListingQuery,
  listNames,
  type NameBounds,
  successor,
} from '../../../src/core/lists/listing.js'
import type { Listed } from '../../../src/core/model/records.js'
import { collected } from '../../../src/core/lists/slices.js'
import { type Dice, newDice, pieces, refused, TestStore } from '../support.js'

interface Row {
  name: string
}

/** What a database with an index on the names would answer. */
function fetchFrom(names: string[]): { fetch: (bounds: NameBounds) => Promise<Row[]>; rowsRead: () => number } {
  const sorted = [...names].sort(compareNames)
  let rowsRead = 0
  const fetch = async ({ above, from, below, reverse, limit }: NameBounds) => {
    const found = sorted.filter(
      (name) =>
        (above === undefined || compareNames(name, above) > 0) &&
        (from === undefined || compareNames(name, from) >= 0) &&
        (below === undefined || compareNames(name, below) < 0),
    )
    const rows = (reverse ? found.reverse() : found).slice(0, limit).map((name) => ({ name }))
    rowsRead += rows.length
    return rows
  }
  return { fetch, rowsRead: () => rowsRead }
}

/** The definition: every name, filtered, folded, cut. */
function naive(names: string[], query: ListingQuery): string[] {
  const { prefix = '', delimiter = '', marker = '', endMarker = '', limit = 10_000, reverse = false } = query
  const low = reverse ? endMarker : marker
  const high = reverse ? marker : endMarker
  const sorted = [...names].sort(compareNames)
  if (reverse) sorted.reverse()
  const lines: string[] = []
  for (const name of sorted) {
    if (!name.startsWith(prefix)) continue
    if (low !== '' && compareNames(name, low) <= 0) continue
    if (high !== '' && compareNames(name, high) >= 0) continue
    const at = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
    const line = at < 0 ? name : `${name.slice(0, at + delimiter.length)} (subdir)`
    if (line === `${low} (subdir)` || lines.includes(line)) continue
    lines.push(line)
  }
  return lines.slice(0, limit)
}

const inWords = (listed: Listed<Row>[]): string[] =>
  listed.map((line) => (line.kind === 'subdir' ? `${line.subdir} (subdir)` : line.item.name))

// Few letters, so that names share beginnings; some whose order in UTF-16 is another one than in UTF-8.
const letters = [
  'a',
  'b',
  '/',
  '/',
  '.',
  '0',
  'ä',
  '\u{ffff}',
  '\u{1f600}',
  '\u{10ffff}',
  '\u{d7ff}',
  '\u{e000}',
  '%',
  '_',
  "'",
]

function randomName(dice: Dice): string {
  return Array.from({ length: 1 + dice.below(5) }, () => dice.pick(letters)).join('')
}

function randomQuery(dice: Dice, names: string[]): ListingQuery {
  const some = () => (dice.next() < 0.5 && names.length > 0 ? dice.pick(names) : randomName(dice))
  return {
    prefix: dice.next() < 0.5 ? undefined : [...some()].slice(0, 1 + dice.below(2)).join(''),
    delimiter: dice.pick([undefined, '/', '/', 'a', 'b/', '\u{10ffff}', '']),
    marker: dice.next() < 0.6 ? undefined : some(),
    endMarker: dice.next() < 0.7 ? undefined : some(),
    limit: dice.next() < 0.5 ? undefined : dice.below(8),
    reverse: dice.next() < 0.4,
  }
}

t.test('listings are what their definition says, for random names and queries', async (t) => {
  const dice = newDice(t)
  for (let round = 0; round < 3000; round++) {
    const names = [...new Set(Array.from({ length: dice.below(40) }, () => randomName(dice)))]
    const query = randomQuery(dice, names)
    const listed = inWords(await collected(listNames(query, fetchFrom(names).fetch)))
    const expected = naive(names, query)
    if (JSON.stringify(listed) !== JSON.stringify(expected)) {
      t.same(listed, expected, JSON.stringify({ names, query }))
      break
    }
  }
  t.pass('3000 rounds')
})

t.test('the same of objects in the catalog', async (t) => {
  const store = await TestStore.open(t)
  const caller = await store.caller('alice')
  const { containers, objects } = store.core
  const projectId = caller.project.id
  await containers.put(caller, { projectId, container: 'c' })
  const dice = newDice(t)
  const names = [...new Set(Array.from({ length: 60 }, () => randomName(dice)))]
  for (const object of names) {
    const ref = { projectId, container: 'c', object }
    await objects.put(caller, ref, { body: pieces(object), contentType: 'text/plain' })
  }
  for (let round = 0; round < 300; round++) {
    const query = randomQuery(dice, names)
    const listed = inWords(await collected(containers.list(caller, { projectId, container: 'c' }, query)))
    const expected = naive(names, query)
    if (JSON.stringify(listed) !== JSON.stringify(expected)) {
      t.same(listed, expected, JSON.stringify({ names, query }))
      break
    }
  }
  t.pass('300 rounds')
})

t.test('pages by the last line put together are the whole listing, both ways', async (t) => {
  const dice = newDice(t)
  for (let round = 0; round < 200; round++) {
    const names = [...new Set(Array.from({ length: dice.below(60) }, () => randomName(dice)))]
    const delimiter = dice.pick([undefined, '/'])
    const reverse = dice.next() < 0.5
    const { fetch } = fetchFrom(names)
    const lines: string[] = []
    let marker: string | undefined
    for (;;) {
      const page = await collected(listNames({ delimiter, reverse, marker, limit: 3 }, fetch))
      lines.push(...inWords(page))
      const last = page.at(-1)
      if (last === undefined) break
      marker = last.kind === 'subdir' ? last.subdir : last.item.name
    }
    // A page that begins behind a subdir, forwards, meets the names within it again as that subdir only if it was not the marker.
    const whole = inWords(await collected(listNames({ delimiter, reverse }, fetch)))
    if (JSON.stringify(lines) !== JSON.stringify(whole)) {
      t.same(lines, whole, JSON.stringify({ names, delimiter, reverse }))
      break
    }
  }
  t.pass('200 rounds')
})

t.test('a subdir is jumped over, not read through', async (t) => {
  const names = Array.from({ length: 20_000 }, (_, i) => `dir${i % 4}/${i}`)
  const { fetch, rowsRead } = fetchFrom(names)
  t.same(
    inWords(await collected(listNames({ delimiter: '/' }, fetch))),
    ['dir0/', 'dir1/', 'dir2/', 'dir3/'].map((d) => `${d} (subdir)`),
  )
  t.ok(rowsRead() < 500, `${rowsRead()} rows were read`)
})

t.test('a limit that is none is refused', async (t) => {
  const { fetch } = fetchFrom(['a'])
  for (const limit of [-1, 10_001, 1.5, Number.NaN])
    await t.rejects(collected(listNames({ limit }, fetch)), refused(400))
  t.same(await collected(listNames({ limit: 0 }, fetch)), [])
})

t.test('the successor of a text is behind everything that begins with it, and before all else', async (t) => {
  t.equal(successor('a'), 'b')
  t.equal(successor('a\u{10ffff}'), 'b')
  t.equal(successor('\u{d7ff}'), '\u{e000}')
  t.equal(successor('\u{10ffff}'), undefined)
  t.equal(successor(''), undefined)
})

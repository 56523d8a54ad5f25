import t from 'tap'
import { nearestName } from '../../src/lib/nearest_name.js'

const known = ['cache', 'io', 'log', 'log-level', 'nbd-tls-ca', 'nbd-tls-cert']

t.test('a misspelled name is matched with the known name that needs the fewest edits', async (t) => {
  for (const [name, expected] of [
    ['cache', 'cache'],
    ['chace', 'cache'],
    ['cahe', 'cache'],
    ['caches', 'cache'],
    ['oi', 'io'],
    ['loglevel', 'log-level'],
    ['nbd-tls-crt', 'nbd-tls-cert'],
    ['nbd-tls-c', 'nbd-tls-ca'],
  ] as const)
    t.equal(nearestName(name, known), expected, name)
})

t.test('a name far from all known names has no match', async (t) => {
  for (const name of ['', 'frobnicate', 'size', 'x'.repeat(1_000_000)]) t.equal(nearestName(name, known), undefined)
  t.equal(nearestName('cache', []), undefined)
})

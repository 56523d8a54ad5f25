// docs/features.md promises; each promise names the tests that settle it. A renamed or lost test must not go unnoticed.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))

t.test('every row of docs/features.md names tests that exist, or says "not yet"', async (t) => {
  const text = await readFile(`${root}docs/features.md`, 'utf8')
  const rows = text.split('\n').filter((line) => line.startsWith('|') && !/^\|( feature |-)/.test(line))
  t.ok(rows.length > 50, `${rows.length} rows`)
  for (const row of rows) {
    const [, feature = '', settled = ''] = row.split('|').map((cell) => cell.trim())
    const tests = [...settled.matchAll(/`([^`]+)`: “([^”]+)”/g)]
    t.ok(tests.length > 0 || settled.includes('not yet'), `${feature}: a test or "not yet"`)
    for (const [, path = '', sentence = ''] of tests) {
      const source = await readFile(root + path, 'utf8').catch(() => '')
      t.ok(holds(source, sentence), `${path} holds “${sentence}”`)
    }
  }
})

/** Sentences may stand in template strings: `…` is anything. */
function holds(source: string, sentence: string): boolean {
  const pattern = sentence
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
  return new RegExp(pattern).test(source)
}

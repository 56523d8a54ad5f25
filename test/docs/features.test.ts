// docs/features.md makes promises, and each promise names the tests that prove it. A renamed or lost test must not go unnoticed.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))

t.test('every promise of docs/features.md names tests that exist, or says "not yet"', async (t) => {
  const text = await readFile(`${root}docs/features.md`, 'utf8')
  const promises = promisesOf(text)
  t.ok(promises.length > 50, `${promises.length} promises`)
  for (const { promise, lines } of promises) {
    t.ok(lines.length > 0, `${promise}: at least one line below it`)
    for (const line of lines) {
      const [, path, sentence] = /^`([^`]+)`: “([^”]+)”/.exec(line) ?? []
      if (path === undefined || sentence === undefined) {
        t.match(line, /^not yet\b/, `${promise}: a test or "not yet", got "${line}"`)
        continue
      }
      const source = await readFile(root + path, 'utf8').catch(() => '')
      t.ok(holds(source, sentence), `${path} has the test “${sentence}”`)
    }
  }
})

/** Promises are the items of the page's lists, and what proves them are the items below. Throws for any other line in a section. */
function promisesOf(text: string): { promise: string; lines: string[] }[] {
  const found: { promise: string; lines: string[] }[] = []
  for (const line of text.slice(text.indexOf('\n## ')).split('\n')) {
    if (line.startsWith('* ')) found.push({ promise: line.slice(2), lines: [] })
    else if (line.startsWith('  * ') && found.length > 0) found.at(-1)?.lines.push(line.slice(4))
    else if (line !== '' && !line.startsWith('## '))
      throw new Error(`docs/features.md: expected "* promise" or "  * \`file\`: “test”", got "${line}"`)
  }
  return found
}

/** Sentences may stand in template strings: `…` is anything. */
function holds(source: string, sentence: string): boolean {
  const pattern = sentence
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
  return new RegExp(pattern).test(source)
}

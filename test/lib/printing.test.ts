import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { printable } from '../../src/lib/printing.js'

t.test('names are printed without what a terminal would obey', async (t) => {
  const cases: [name: string, shown: string][] = [
    ['plain name 1', 'plain name 1'],
    ['größe 容量 👩‍🚀', 'größe 容量 👩‍🚀'],
    ['\u001b[2J\u001b]0;x\u0007', '\\x1b[2J\\x1b]0;x\\x07'],
    ['a\nfake line\r', 'a\\nfake line\\x0d'],
    ['\u009b31m', '\\x9b31m'],
    ['\u007f\u0000\t', '\\x7f\\x00\\x09'],
    ['\u202egnp.exe\u2066', '\\u202egnp.exe\\u2066'],
    ['a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
  ]
  for (const [name, shown] of cases) t.equal(printable(name), shown)
})

t.test('the commands print by printing.ts alone', async (t) => {
  const folder = fileURLToPath(new URL('../../src/cli/', import.meta.url))
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  t.ok(files.length > 4)
  for (const file of files) {
    if (basename(file) === 'printing.ts') continue
    const source = readFileSync(join(folder, file), 'utf8')
    t.notMatch(source, /console\.|std(out|err)\.write/, file)
  }
})

// What holds for every page of documentation: rows of tables can be read, and what a page refers to exists.

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))
const rowMax = 200

interface Page {
  path: string
  text: string
  /** Without code blocks, which may hold anything. */
  prose: string
}

const { stdout } = await execa('git', ['ls-files', '-co', '--exclude-standard', '*.md'], { cwd: root })
const pages: Page[] = []
for (const path of stdout.split('\n')) {
  if (!existsSync(join(root, path))) continue
  const text = await readFile(join(root, path), 'utf8')
  pages.push({ path, text, prose: text.replace(/^```.*?^```$/gms, '') })
}

/** The rows of a generated page are as long as what they are made from. */
const generated = ['docs/reference/errors.md', 'docs/reference/settings.md']

t.test(`no row of a table is longer than ${rowMax} characters`, async (t) => {
  t.ok(pages.length > 20, `${pages.length} pages`)
  for (const { path, prose } of pages) {
    if (generated.includes(path)) continue
    const long = prose.split('\n').filter((line) => line.startsWith('|') && [...line].length > rowMax)
    t.same(long, [], path)
  }
})

t.test('every relative link leads to a file, and to a heading of it', async (t) => {
  for (const { path, prose } of pages) {
    const broken: string[] = []
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const to = file === '' ? path : normalize(join(dirname(path), file))
      if (!existsSync(join(root, to))) broken.push(target)
      else if (anchor !== undefined && !headings(to).has(anchor)) broken.push(target)
    }
    t.same(broken, [], path)
  }
})

t.test('every file that a page names by its path exists', async (t) => {
  // CHANGELOG.md and decisions tell of files as they were.
  const timeless = pages.filter(({ path }) => path !== 'CHANGELOG.md')
  for (const { path, prose } of timeless) {
    const missing: string[] = []
    for (const [, name = ''] of prose.matchAll(/`((?:src|native|test|testkit|bench|tools|scripts|docs)\/[\w./-]*\w)`/g))
      if (!existsSync(join(root, name))) missing.push(name)
    t.same(missing, [], path)
  }
})

/** The anchors of a page's headings, as GitHub makes them. */
function headings(path: string): Set<string> {
  const page = pages.find((each) => each.path === path)
  const found = new Set<string>()
  for (const [, heading = ''] of page?.prose.matchAll(/^#+ (.*)$/gm) ?? [])
    found.add(
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/ /g, '-'),
    )
  return found
}

/** docs/notes/performance.md: the results between two marks; what stands around them is written by people. */

import { readFile, writeFile } from 'node:fs/promises'

const page = 'docs/notes/performance.md'
const picture = 'docs/notes/performance.svg'
const begin = '<!-- results: made by scripts/bench --write-docs -->'
const end = '<!-- end of the results -->'

export async function writeDocs({ markdown, svg }: { markdown: string; svg: string }): Promise<void> {
  await writeFile(page, withResults(await readFile(page, 'utf8'), markdown))
  await writeFile(picture, svg)
}

/** Throws when the marks are not there. */
export function withResults(text: string, markdown: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no place for the results: "${begin}" … "${end}"`)
  return `${text.slice(0, from + begin.length)}\n\n${markdown}\n\n${text.slice(to)}`
}

/** docs/reference/errors.md is the catalogue of errors as the source has it. `ATOLL_UPDATE_DOCS=1` writes the page anew. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { type ErrorDefinition, errorCatalogue } from '../../src/lib/errors.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = join(root, 'docs/reference/errors.md')

/** Loads whatever defines errors, so that they are in the catalogue. */
async function loadDefinitions(): Promise<void> {
  for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    const path = join(root, 'src', file)
    if (file.endsWith('.ts') && readFileSync(path, 'utf8').includes('= defineError('))
      await import(pathToFileURL(path).href)
  }
}

function write(definitions: ErrorDefinition[]): string {
  const rows = definitions.map(
    ({ code, status, message }) => `| \`${code}\` | ${status} | ${message.replaceAll('|', '\\|')} |`,
  )
  return `# Errors

Every error that a client or an operator is meant to see, by its code. \`%s\` is what it is about. The status is that of
HTTP; each API puts it into its own format, and some translate it where their clients expect another one. 500 and above
mean that the server could not do it: its log says more.

This page is made from the source (\`src/**/errors.ts\` and others): \`ATOLL_UPDATE_DOCS=1 npx tap test/lib/errors_page.test.ts\`.

| code | status | message |
|---|---|---|
${rows.join('\n')}
`
}

t.test('docs/reference/errors.md lists the errors of the source', async (t) => {
  await loadDefinitions()
  const text = write(errorCatalogue())
  if (process.env.ATOLL_UPDATE_DOCS) writeFileSync(page, text)
  t.ok(readFileSync(page, 'utf8') === text, 'up to date (ATOLL_UPDATE_DOCS=1 brings it there)')
})

t.test('codes and messages are in the house style', async (t) => {
  for (const { code, status, message } of errorCatalogue()) {
    t.match(code, /^[a-z0-9]+(_[a-z0-9]+)*$/)
    t.ok(status >= 400 && status < 600, code)
    t.notMatch(message, /\.$|!/, code)
  }
})

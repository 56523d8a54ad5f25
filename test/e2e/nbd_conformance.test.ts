// A client of its own (test/conformance, Python without libraries) checks the server against the protocol, feature by feature and
// rule by rule. The same checks are run on QEMU's server and on nbdkit, and their columns printed beside ours.

import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'

t.setTimeout(180_000)

interface Column {
  server: string
  /** [verdict, reason] of each check. */
  checks: [string, string][]
  tcp_option_ms: number | null
  error: string
}

const suite = fileURLToPath(new URL('../conformance/run.py', import.meta.url))
const servers = ['atoll', 'qemu-nbd', 'nbdkit'].flatMap((name) => ['--server', name])
const run = await execa('python3', [suite, '--json', ...servers], { all: true, reject: false, timeout: 150_000 })
if (!run.stdout.startsWith('{')) throw new Error(`the checks did not run:\n${run.all}`)
const result = JSON.parse(run.stdout) as { titles: string[]; columns: Column[]; table: string }
t.comment(result.table)

t.test('every check of the NBD conformance suite holds for Atoll', async (t) => {
  const [ours] = result.columns
  t.equal(ours?.error, '', 'it starts')
  t.ok(result.titles.length >= 50, `${result.titles.length} checks`)
  for (const [i, title] of result.titles.entries()) t.strictSame(ours?.checks[i], ['yes', ''], title)
})

t.test('the conformance suite finds what is known to be wrong with other servers', async (t) => {
  const [, qemu, nbdkit] = result.columns
  // A suite that says yes to everything would not see these: neither speaks extended headers.
  const extended = result.titles.findIndex((title) => title.startsWith('EXTENDED_HEADERS: chunks'))
  for (const other of [qemu, nbdkit]) {
    t.equal(other?.error, '', `${other?.server} starts`)
    t.equal(other?.checks[extended]?.[0], 'no', `${other?.server}: extended headers`)
  }
})

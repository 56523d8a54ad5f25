// A client of its own (test/conformance, Python without libraries) checks the server against the protocol, feature by feature and
// rule by rule. The same checks are run on QEMU's servers (this machine's and Debian 13's) and on nbdkit, and their columns printed
// beside ours.

import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { newestTree } from '../../testkit/nbd_tools.js'

t.setTimeout(1_200_000)

interface Column {
  server: string
  /** [verdict, reason] of each check. */
  checks: [string, string][]
  tcp_option_ms: number | null
  error: string
}

const suite = fileURLToPath(new URL('../conformance/run.py', import.meta.url))
const servers = ['atoll', 'qemu-nbd', 'newest:qemu-nbd', 'nbdkit'].flatMap((name) => ['--server', name])
// The tree may have to be made first, which is not the time of the checks.
await newestTree()
const run = await execa('python3', [suite, '--json', ...servers], {
  all: true,
  reject: false,
  // Four servers at the same time, on a machine that may have two processors.
  timeout: 600_000,
  // On SIGTERM it ends its servers first.
  forceKillAfterDelay: 60_000,
})
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
  const [, qemu, newestQemu, nbdkit] = result.columns
  const verdict = (column: Column | undefined, title: string) =>
    column?.checks[result.titles.findIndex((each) => each.startsWith(title))]?.[0]
  for (const other of [qemu, newestQemu, nbdkit]) t.equal(other?.error, '', `${other?.server} starts`)
  // A suite that says yes to everything would not see these.
  t.equal(verdict(nbdkit, 'EXTENDED_HEADERS: chunks'), 'no', 'nbdkit has no extended headers')
  t.equal(verdict(newestQemu, 'past the end'), 'part', 'QEMU answers a WRITE past the end with EINVAL')
  // One that expects what Atoll alone does would not see these.
  const extended = [
    'EXTENDED_HEADERS: chunks',
    'EXTENDED_HEADERS: WRITE has its payload',
    'BLOCK_STATUS_EXT',
    'filters of several',
  ]
  for (const title of extended) t.equal(verdict(newestQemu, title), 'yes', `Debian 13's QEMU: ${title}`)
})

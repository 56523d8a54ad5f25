// Debian's tempest against a server, one process for all APIs. test/conformance/tempest/FAMILY.txt lists what does not pass, and why.
//
// ATOLL_TEMPEST=identity,image runs only these families.

import { readFile } from 'node:fs/promises'
import t from 'tap'
import { startServer } from '../../testkit/server.js'
import { compareWithList, runTempest, type TempestResult, tempestFamilies } from '../../testkit/tempest/tempest.js'

t.setTimeout(1_200_000)

const only = process.env.ATOLL_TEMPEST?.split(',')
const families = tempestFamilies.filter((family) => only?.includes(family) ?? true)
const results = await runTempest(await startServer(t, { nbd: true }), families)

for (const family of families) {
  t.test(`tempest.api.${family}: every test passes that is not listed, and none that is`, async (t) => {
    const own = results.filter(({ name }) => name.startsWith(`tempest.api.${family}.`))
    const count = (status: TempestResult['status']) => own.filter((result) => result.status === status).length
    t.comment(`${family}: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`)
    const list = await readFile(new URL(`../conformance/tempest/${family}.txt`, import.meta.url), 'utf8')
    t.strictSame(compareWithList(own, list), [])
  })
}

t.test('a list of exceptions is held against the results in both directions', async (t) => {
  const passed: TempestResult = { name: 'tempest.a.B.test_c', status: 'passed', reason: '' }
  const failed: TempestResult = { name: 'tempest.a.B.test_d', status: 'failed', reason: 'why' }
  const skipped: TempestResult = { name: 'tempest.v2.test_e', status: 'skipped', reason: 'off' }
  const all = [passed, failed, skipped]
  const list = '# a\n\n[does not apply]\ntempest.v2.* | there is no v2\n[not yet]\ntempest.a.B.test_d | soon\n'
  t.strictSame(compareWithList(all, list), [])
  t.strictSame(compareWithList(all, ''), ['tempest.a.B.test_d failed: why', 'tempest.v2.test_e skipped: off'])
  t.match(compareWithList(all, `${list}tempest.a.B.test_c | no longer true\n`), [/test_c passes: remove it/])
  t.match(compareWithList(all, `${list}tempest.a.B.test_x | gone\n`), [/test_x: tempest has no such test/])
  t.match(compareWithList([], 'tempest.a.B.test_c\n'), [/expected a section/])
})

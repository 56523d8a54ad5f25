// Runs alone: it measures.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Results } from '../../bench/report/results.js'
import { tool } from '../../testkit/nbd_tools.js'

t.test('the bench measures a case against a peer and writes table, JSON and plot', async (t) => {
  const dir = t.testdir()
  const where = ['--dir', join(dir, 'work'), '--out', join(dir, 'out')]
  const what = ['--quick', '--rounds', '1', '--case', 'first-read-1GiB', '--peers', 'qemu-nbd raw']
  const node = ['--import', './scripts/lib/typescript_loader.js', 'bench/main.ts']
  await tool(process.execPath, [...node, ...what, ...where], { cwd: process.cwd() })
  const results = JSON.parse(await readFile(join(dir, 'out', 'results.json'), 'utf8')) as Results
  const [one] = results.stages.flatMap(({ cases }) => cases)
  t.same(
    one?.contenders.map(({ name, values }) => [name, values.length]),
    [
      ['atoll', 1],
      ['qemu-nbd raw', 1],
    ],
  )
  for (const { values, serverCpuUs } of one?.contenders ?? []) {
    t.ok(values.every((value) => value > 0))
    t.type(serverCpuUs, 'number')
  }
  t.match(await readFile(join(dir, 'out', 'results.md'), 'utf8'), '| a disk of 1 GiB |')
  t.match(await readFile(join(dir, 'out', 'results.svg'), 'utf8'), '<svg')
})

import { join } from 'node:path'
import t from 'tap'
import { matches, parseArguments } from '../../../bench/arguments.js'
import { withResults } from '../../../bench/report/docs.js'
import { parseFioReport } from '../../../bench/report/fio_report.js'
import { toMarkdown } from '../../../bench/report/markdown.js'
import { toSvg } from '../../../bench/report/plot.js'
import { bestPeer, type CaseResult, formatNumber, judge, type Results, ratioTo } from '../../../bench/report/results.js'
import { median, summarize, timesBetter } from '../../../bench/report/statistics.js'
import { keptStages, machineOfBoth, readResults } from '../../../bench/resume.js'
import { readsElsewhere } from '../../../bench/runner.js'
import { stages } from '../../../bench/stages.js'

t.test('the median is the middle, or between the two in the middle', async (t) => {
  t.equal(median([9, 1, 5]), 5)
  t.equal(median([9, 1, 5, 6]), 5.5)
  t.same(summarize([3, 1, 2]), { median: 2, min: 1, max: 3 })
  t.throws(() => median([]))
})

t.test('a ratio above 1 is ahead, whichever way a figure counts', async (t) => {
  t.equal(timesBetter(300, 100, 'more'), 3)
  t.equal(timesBetter(2, 6, 'less'), 3)
})

t.test('fio: jobs and directions are summed, and the worst latency counts', async (t) => {
  const direction = (ios: number, p999: number) => ({
    io_bytes: ios * 4096,
    total_ios: ios,
    runtime: 2000,
    clat_ns: { max: p999 * 2, percentile: { '99.900000': p999 } },
  })
  const none = { io_bytes: 0, total_ios: 0, runtime: 0, clat_ns: { max: 0 } }
  const jobs = [
    { error: 0, read: direction(700, 5000), write: direction(300, 9000) },
    { error: 0, read: direction(1000, 3000), write: none },
  ]
  const report = parseFioReport(`fio: a note\n${JSON.stringify({ jobs })}`)
  t.match(report, { operations: 2000, bytes: 2000 * 4096, seconds: 2, operationsPerS: 1000, p999Us: 9, maxUs: 18 })
  t.throws(() => parseFioReport(JSON.stringify({ jobs: [{ error: 5, read: none, write: none }] })), /errno 5/)
  t.throws(() => parseFioReport(JSON.stringify({ jobs: [{ error: 0, read: none, write: none }] })), /no operations/)
  t.throws(() => parseFioReport('fio: engine nbd not found'), /no report/)
})

t.test('reads that come from elsewhere than the case wants are not compared', async (t) => {
  t.equal(readsElsewhere('page cache', 1000, 0), undefined)
  t.match(readsElsewhere('page cache', 1000, 500), /50 %/)
  t.equal(readsElsewhere('disk', 1000, 1010), undefined)
  t.match(readsElsewhere('disk', 1000, 0), /0 %/)
  t.equal(readsElsewhere(undefined, 1000, 500), undefined)
})

const one: CaseResult = {
  name: 'reads',
  title: 'random | reads',
  unit: 'op/s',
  better: 'more',
  targets: [
    { kind: 'ratio', atLeast: 1.5 },
    { kind: 'ratio', atLeast: 0.9, against: 'file' },
    { kind: 'cpu', atMost: 0.7 },
    { kind: 'value', atLeast: 5000 },
    { kind: 'ratio', atLeast: 2, against: 'nobody' },
  ],
  contenders: [
    { name: 'atoll', role: 'atoll', values: [300], summary: summarize([300]), serverCpuUs: 5, clientCpuUs: 3000 },
    { name: 'slow', role: 'peer', values: [100], summary: summarize([100]), serverCpuUs: 2 },
    { name: 'fast', role: 'peer', values: [200], summary: summarize([200]), serverCpuUs: 10 },
    { name: 'cheat', role: 'peer', values: [900], summary: summarize([900]), unfair: 'it read holes' },
    { name: 'file', role: 'ceiling', values: [400], summary: summarize([400]) },
  ],
}

t.test('the best peer is the fastest fair one, and no ceiling', async (t) => {
  t.equal(bestPeer(one)?.name, 'fast')
  t.equal(bestPeer({ ...one, better: 'less' })?.name, 'slow')
  t.equal(ratioTo(one, bestPeer(one)), 1.5)
})

t.test('targets are judged by medians: met, missed, or not measured', async (t) => {
  t.same(
    judge(one).map(({ met }) => met),
    [true, false, true, false, undefined],
  )
  t.match(judge(one)[1], { target: '≥ 0.9 × file', found: '0.75 × file' })
})

const results: Results = {
  machine: { processors: '2 × some' },
  startedAt: '2026-11-24T10:00:00.000Z',
  endedAt: '2026-11-24T10:05:00.000Z',
  command: 'scripts/bench --quick',
  rounds: 3,
  seconds: 1,
  stages: [{ name: 'stage', title: 'A stage', cases: [one], notes: ['somebody was not there'] }],
}

t.test('the tables show medians with their spread, missed targets and what was unfair', async (t) => {
  const markdown = toMarkdown(results)
  t.match(markdown, '| random \\| reads | op/s | 300 (300–300) | fast 200 (200–200) | 1.50 |')
  t.match(markdown, '| random \\| reads | slow 100, cheat 900 †, file 400 |')
  t.match(markdown, '2 of 4 targets are met. Missed:')
  t.match(markdown, '| ≥ 0.9 × file | 0.75 × file | 0.00 + 0.90 | 2.00 × fast |')
  t.match(markdown, '* somebody was not there')
  t.match(markdown, 'not compared, it read holes')
})

t.test('a run goes on with what was measured before, and says so', async (t) => {
  const wanted = [
    { name: 'stage', cases: ['reads'] },
    { name: 'next', cases: ['writes'] },
  ]
  t.same(keptStages(results, { quick: true, rounds: 3, seconds: 1, wanted }), results.stages)
  t.same(
    keptStages(results, { quick: true, rounds: 3, seconds: 1, wanted: [{ name: 'stage', cases: ['reads', 'more'] }] }),
    [],
  )
  t.throws(
    () => keptStages(results, { quick: true, rounds: 5, seconds: 1, wanted }),
    /had 3 rounds of 1 s, not 5 of 1 s/,
  )
  t.throws(
    () => keptStages(results, { quick: false, rounds: 3, seconds: 1, wanted }),
    /"scripts\/bench --quick": .* other sizes/,
  )
  await t.rejects(readResults(join(t.testdir(), 'none.json')), /no results of an earlier run in .*none\.json/)
  t.same(machineOfBoth({ kernel: '6', commit: 'a' }, { kernel: '6', commit: 'b' }), {
    kernel: '6',
    commit: 'a; then b',
  })
  const { startedAt, endedAt } = results
  const both = toMarkdown({ ...results, startedAt: endedAt, endedAt, before: [{ startedAt, endedAt }] })
  t.match(both, '| 2026-11-24 10:00 UTC, for 5 minutes; 2026-11-24 10:05 UTC, for 0 minutes |')
})

t.test('the plot has a mark for each peer of a case', async (t) => {
  const svg = await toSvg(results)
  t.match(svg, /^<svg/)
  for (const peer of ['slow', 'fast', 'file']) t.match(svg, `peer: ${peer}`)
  t.notMatch(svg, 'peer: cheat')
})

t.test('numbers have three digits that count, and gaps between thousands', async (t) => {
  t.same([0.01234, 1.234, 12.34, 123.4, 1234567].map(formatNumber), ['0.012', '1.23', '12.3', '123', '1 234 567'])
})

t.test('results go between the marks of the page, and again', async (t) => {
  const page = 'before\n<!-- results: made by scripts/bench --write-docs -->\nold\n<!-- end of the results -->\nafter\n'
  const once = withResults(page, 'new')
  t.match(once, /^before\n.*new.*\nafter\n$/s)
  t.notMatch(once, 'old')
  t.equal(withResults(once, 'new'), once)
  t.throws(() => withResults('nothing', 'new'), /no place/)
})

t.test('arguments: quick is shorter, and names are patterns', async (t) => {
  const build = '/b'
  t.match(parseArguments([], { build }), { quick: false, rounds: 5, seconds: 5, out: '/b/results', cases: [] })
  t.match(parseArguments(['--quick', '--rounds', '9'], { build }), { quick: true, rounds: 9, seconds: 1 })
  t.ok(matches([], 'anything'))
  t.ok(matches(['rand*-4k-*'], 'stage', 'randread-4k-d1'))
  t.notOk(matches(['rand*'], 'first-write.4k'))
  t.notOk(matches(['a.c'], 'abc'))
})

t.test('every case has a name of its own', async (t) => {
  const names = stages.flatMap(({ name, cases }) => [name, ...cases.map((each) => each.name)])
  const clash = names.filter((name, index) => names.indexOf(name) !== index)
  // A stage of one case may share its name.
  t.same(clash, ['image-to-volume'])
  t.ok(stages.some(({ cases }) => cases.some(({ quick }) => quick)))
})

import t from 'tap'
import { TapReport } from '../../scripts/lib/tap_report.js'

function report(tap: string): { counts: number[]; shown: string } {
  const report = new TapReport()
  const shown = tap.split('\n').flatMap((line) => report.line(line))
  return { counts: [report.passed, report.failed, report.skipped], shown: shown.join('\n') }
}

t.test('a test is what a file names at its top, whatever is inside', async (t) => {
  const { counts, shown } = report(`TAP version 14
1..1
# Subtest: test/a.test.ts
    # Subtest: counts once
        ok 1 - an assertion
        # Subtest: a test in a test
            ok 1 - another
            1..1
        ok 2 - a test in a test # time=4.418ms
        # ratio 1.02
        1..2
    ok 1 - counts once # time=10.4ms

    # Subtest: counts too
        1..0
    ok 2 - counts too # time=1ms

    1..2
    # time=59.9ms
ok 1 - test/a.test.ts # time=1234.5ms

# { total: 3, pass: 3 }
# time=1424.211ms`)
  t.same(counts, [2, 0, 0])
  t.equal(shown, '  ok   test/a.test.ts (2, 1.2 s)\n      # ratio 1.02')
})

t.test('a failing test is counted once and shown with what it said', async (t) => {
  const { counts, shown } = report(`1..1
# Subtest: test/a.test.ts
    # Subtest: is right
        not ok 1 - should be equal
          ---
          diff: |
            -1
            +2
            ok 7 - text of a diagnostic, no test
          ...
        1..1
    not ok 1 - is right # time=1ms
      ---
      at: here
      ...
    1..1
not ok 1 - test/a.test.ts # time=1ms
  ---
  command: /usr/bin/node
  ...`)
  t.same(counts, [0, 1, 0])
  t.match(shown, 'FAIL test/a.test.ts (1 of 1 failed')
  t.match(shown, 'not ok should be equal')
  t.match(shown, '+2')
  t.notMatch(shown, 'command')
})

t.test('a file that crashes or hangs is a failed test', async (t) => {
  const { counts, shown } = report(`# Subtest: test/a.test.ts
    ok 1 - before the crash
not ok 1 - test/a.test.ts # time=1ms
  ---
  exitCode: 7
  ...
not ok 2 - timeout!
  ---
  expired: test/b.test.ts
  ...`)
  t.same(counts, [1, 2, 0])
  t.match(shown, 'exitCode: 7')
  t.match(shown, 'expired: test/b.test.ts')
})

t.test('a file without tests is a failed test', async (t) => {
  t.same(report('# Subtest: test/a.test.ts\n    1..0 # no tests found\nok 1 - test/a.test.ts').counts, [0, 1, 0])
})

t.test('skipped tests do not pass', async (t) => {
  const tap = '# Subtest: test/a.test.ts\n    ok 1 - later # SKIP no disk\n    1..1\nok 1 - test/a.test.ts # time=1ms'
  const { counts, shown } = report(tap)
  t.same(counts, [0, 0, 1])
  t.match(shown, 'no disk')
})

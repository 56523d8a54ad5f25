/**
 * Runs test files with tap and shows a report (tap_report.js): node scripts/lib/run_tap.js JOBS TIMEOUT_S FILE…
 *
 * A file that fails is run once more, alone. When it passes then, "FLAKY file" is printed, and the second run counts: such a file is a bug to
 * be fixed, but no reason to throw the run away. The exit status is 0 when nothing failed in the end.
 */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { TapReport } from './tap_report.js'

const tap = ['node_modules/.bin/tap', '--disable-coverage', '--reporter=tap']

/**
 * @param {string} jobs
 * @param {string} timeoutSeconds
 * @param {readonly string[]} files
 */
async function run(jobs, timeoutSeconds, files) {
  const [program = '', ...options] = [...tap, `--jobs=${jobs}`, `--timeout=${timeoutSeconds}`, ...files]
  const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? signal))
  })
  const report = new TapReport()
  for await (const line of createInterface({ input: child.stdout })) {
    for (const shown of report.line(line)) console.log(shown)
  }
  const status = await ended
  // A runner that fails without naming a failed test (it was killed, say) has not passed.
  if (status !== 0 && report.failed === 0) {
    console.log(`  FAIL tap ended with ${status}`)
    report.failed += 1
  }
  return report
}

const [jobs = '1', timeoutSeconds = '30', ...files] = process.argv.slice(2)
const first = await run(jobs, timeoutSeconds, files)
const failed = first.failedFiles.filter((name) => files.includes(name))
let flaky = 0
for (const file of failed) {
  console.log(`  again, alone: ${file}`)
  const again = await run('1', timeoutSeconds, [file])
  if (again.failed > 0) continue
  console.log(`FLAKY ${file}`)
  flaky += 1
}

if (failed.length > 0 && flaky === failed.length) {
  // Each failure of the first run is one test; all others of its file have passed in both.
  first.passed += first.failed - (first.failedFiles.length - failed.length)
  first.failed = 0
}
console.log(first.summary())
process.exitCode = first.failed === 0 ? 0 : 1

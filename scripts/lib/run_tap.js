/**
 * Runs test files and shows a report (tap_report.js): node scripts/lib/run_tap.js JOBS TIMEOUT_S FILE…
 *
 * Each file is a process of its own that prints TAP. They are started without the `tap` command, whose hooks cost each of them two to
 * four seconds of processor time; `node_modules/.bin/tap FILE` gives the same outcome for one file.
 *
 * A file ends itself when it is not done after TIMEOUT_S, or what it sets by `t.setTimeout`. One that cannot even do that is killed.
 *
 * A file that fails is run once more, alone. When it passes then, "FLAKY file" is printed, and the second run counts: such a file is a bug to
 * be fixed, but no reason to throw the run away. The exit status is 0 when nothing failed in the end.
 */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { TapReport } from './tap_report.js'

const node = [process.execPath, '--enable-source-maps', '--import=./scripts/lib/typescript_loader.js']
/** Of what files set for themselves. */
const killSeconds = 1800
const linesMax = 200_000

/**
 * @param {string} file
 * @param {string} timeoutSeconds
 * @returns {Promise<string[]>} its TAP, as the subtest of a run of many files
 */
async function tapOf(file, timeoutSeconds) {
  const [program = '', ...options] = [...node, file]
  const begin = performance.now()
  const child = spawn(program, options, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: timeoutSeconds },
    timeout: killSeconds * 1000,
    killSignal: 'SIGKILL',
  })
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? signal))
  })
  const lines = [`# Subtest: ${file}`]
  for await (const line of createInterface({ input: child.stdout })) {
    // One that says more than this in a loop must not take the memory of the machine.
    if (lines.length < linesMax && line !== 'TAP version 14') lines.push(line === '' ? '' : `    ${line}`)
  }
  const status = await ended
  const time = `# time=${(performance.now() - begin).toFixed(0)}ms`
  if (status === 0) return [...lines, `ok - ${file} ${time}`]
  return [...lines, `not ok - ${file} ${time}`, '  ---', `  exit status: ${status}`, '  ...']
}

/**
 * @param {string} jobs
 * @param {string} timeoutSeconds
 * @param {readonly string[]} files
 */
async function run(jobs, timeoutSeconds, files) {
  const report = new TapReport()
  const waiting = [...files]
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      for (const line of await tapOf(file, timeoutSeconds)) {
        for (const shown of report.line(line)) console.log(shown)
      }
    }
  }
  await Promise.all(Array.from({ length: Number(jobs) }, worker))
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

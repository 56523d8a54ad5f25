/**
 * Shows the TAP of a `tap` run (run_tap.js) for people and for logs: a line for each test file, whole reports of what failed, what
 * tests said in comments. The summary is the count, `# tests: passed=N failed=N skipped=N`.
 *
 * A test is what a file names at its own top level (`t.test('sentence', …)`); assertions inside it are not counted.
 * A file that fails without a failing test in it (it crashed, hung, or holds no test) counts as one failed test.
 */

const point = /^( *)(not )?ok\b(?: \d+)?(?: - (.*?))?(?: # time=([\d.]+)ms)?( \{)?$/
const noise = /^# (Subtest|time=|No coverage|\{ |no tests found|Subtests? )/

/** Turns lines of TAP into lines of a report. */
export class TapReport {
  passed = 0
  failed = 0
  skipped = 0
  /** Names of the files (and of tap's own entries, such as "timeout!") with a failure. */
  failedFiles = /** @type {string[]} */ ([])

  /** Indentation of the YAML block that is being read, or -1. */
  #yaml = -1
  /** Where a point's diagnostics go: to the report of its file, straight out, or nowhere. */
  #showYaml = /** @type {'later' | 'now' | 'never'} */ ('never')
  #inFile = { points: 0, failed: 0 }
  /** @type {string[]} */
  #details = []

  /**
   * @param {string} line
   * @returns {string[]} what to print
   */
  line(line) {
    if (this.#yaml >= 0) {
      const last = line.trim() === '...' && indentOf(line) === this.#yaml
      if (last) this.#yaml = -1
      if (this.#showYaml === 'later' && !last) this.#details.push(`  ${line}`)
      return this.#showYaml === 'now' && !last ? [`      ${line}`] : []
    }
    if (line.trim() === '---') {
      this.#yaml = indentOf(line)
      return []
    }
    const found = point.exec(line)
    if (found !== null) return this.#point(found)
    const text = line.trim()
    if (text.startsWith('Bail out!')) {
      this.failed += 1
      return [text]
    }
    if (text.startsWith('# ') && !noise.test(text)) this.#details.push(`      ${text}`)
    return []
  }

  /** @param {RegExpExecArray} found */
  #point([, indent = '', not, rest = '', time]) {
    const bad = not !== undefined && !/ # TODO\b/i.test(rest)
    const depth = indent.length
    this.#showYaml = bad ? 'later' : 'never'
    if (depth > 0) {
      if (bad) this.#details.push(`  ${indent}not ok ${rest}`)
      if (depth === 4) this.#test(rest, bad)
      return []
    }

    const { points, failed } = this.#inFile
    this.#inFile = { points: 0, failed: 0 }
    if (failed > 0 || bad || points === 0) this.failedFiles.push(rest)
    if (failed === 0 && (bad || points === 0)) {
      this.failed += 1
      this.#showYaml = 'now'
    } else {
      this.#showYaml = 'never'
    }
    const what = points === 0 ? 'no test ran to its end' : failed > 0 ? `${failed} of ${points} failed` : `${points}`
    const seconds = time === undefined ? '' : `, ${(Number(time) / 1000).toFixed(1)} s`
    const details = this.#details
    this.#details = []
    return [`  ${bad || points === 0 ? 'FAIL' : 'ok  '} ${rest} (${what}${seconds})`, ...details]
  }

  /**
   * @param {string} rest
   * @param {boolean} bad
   */
  #test(rest, bad) {
    this.#inFile.points += 1
    if (bad) {
      this.#inFile.failed += 1
      this.failed += 1
    } else if (/ # (SKIP|TODO)\b/i.test(rest)) {
      this.skipped += 1
      this.#details.push(`      skipped: ${rest}`)
    } else {
      this.passed += 1
    }
  }

  summary() {
    return `# tests: passed=${this.passed} failed=${this.failed} skipped=${this.skipped}`
  }
}

/** @param {string} line */
function indentOf(line) {
  return line.length - line.trimStart().length
}

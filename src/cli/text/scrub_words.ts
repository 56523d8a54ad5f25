/** What `atoll status` says of the scrub of content. */

import type { ScrubReport } from '../../core/health/scrub.js'
import { sizeInWords } from '../../lib/units.js'
import { findingInWords } from './findings.js'
import { printable } from '../../lib/printing.js'

const findingsShown = 10

export function scrubInWords({ bytesPerSecond, pass, lastPass, nextPassAt, findings, problem }: ScrubReport): string[] {
  if (bytesPerSecond === 0) return ['  scrub    off']
  const words = [`at most ${sizeInWords(bytesPerSecond)} a second`]
  if (pass)
    words.push(
      `${Math.floor(pass.progress * 100)} % of a pass since ${time(pass.startedAt)}${foundInWords(pass.findings)}`,
    )
  if (lastPass)
    words.push(
      `last pass ended ${time(lastPass.endedAt)}: ${lastPass.chunks} chunks, ${sizeInWords(lastPass.bytes)}, ` +
        `${lastPass.findings} damaged`,
    )
  if (nextPassAt !== null) words.push(`next pass ${time(nextPassAt)}`)
  const lines = [`  scrub    ${words.join('; ')}`]
  if (problem !== null) lines.push(`  scrub    it cannot go on: ${printable(problem)}`)
  for (const finding of findings.slice(0, findingsShown))
    lines.push(...findingInWords({ ...finding, severity: 'damaged' }).map((line) => `  ${line}`))
  const left = findings.length - findingsShown
  if (left > 0) lines.push(`  ${left} more damaged content chunks (--json shows them)`)
  return lines
}

const foundInWords = (findings: number): string => (findings > 0 ? `, ${findings} damaged so far` : '')

const time = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`

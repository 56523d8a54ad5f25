/** `atoll check`: words about a stopped store, and with `--repair` what can be put right. */

import { type CheckReport, examine } from '../core/health/check.js'
import { DataDirectory } from '../core/directory/data_directory.js'
import { refusalOf, repair } from '../core/health/repair.js'
import type { NativeLog } from '../engine/engine.js'
import { sizeInWords } from '../lib/units.js'
import { findingInWords } from './text/findings.js'
import { print, printable, printError, printJson } from '../lib/printing.js'

export interface CheckOptions {
  data: string
  content?: boolean
  repair?: boolean
  json?: boolean
}

export interface CheckResult extends CheckReport {
  data: string
  /** What `--repair` did. */
  repaired: string[]
  /** Why `--repair` did nothing. */
  refused?: string
}

/** Answers the exit status: 0 clean (or all is repaired), 1 findings are left. What hinders the check is thrown. */
export async function check(options: CheckOptions): Promise<number> {
  const result = await checkStore(options)
  if (options.json) printJson(result)
  else print(inWords(result, options.repair ?? false))
  return result.findings.length === 0 ? 0 : 1
}

export async function checkStore({
  data,
  content = false,
  repair: putRight = false,
}: CheckOptions): Promise<CheckResult> {
  const { directory, unlock, formatProblem } = DataDirectory.openToExamine(data)
  // Standard output is for the findings.
  const log: NativeLog = (level, message) => printError(`atoll: ${level}: ${message}`)
  try {
    if (putRight) directory.mustTakeWrites()
    const first = await examine(directory, { content, formatProblem, log })
    const refused = putRight ? refusalOf(first) : undefined
    const repaired = putRight ? await repair(directory, first, log) : []
    const { report } = repaired.length > 0 ? await examine(directory, { content, log }) : first
    return { data: directory.path, ...report, repaired, ...(refused !== undefined && { refused }) }
  } finally {
    unlock()
  }
}

function inWords(result: CheckResult, putRight: boolean): string {
  const { data, layers, findings, notes, surplus, space, repaired, refused } = result
  const lines = repaired.map((words) => `repaired: ${printable(words)}`)
  if (refused !== undefined) lines.push(printable(refused))
  for (const finding of findings) lines.push(...findingInWords(finding, { putRight }))
  lines.push(...[...notes, ...surplus].map((note) => `note: ${printable(note)}`))
  if (space !== undefined) {
    const { dataBytesMentioned, dataBytesAllocated, chunks, chunkBytes, chunksVerified } = space
    const verified = chunksVerified > 0 ? `, ${chunksVerified} verified` : ''
    lines.push(
      `data files: ${sizeInWords(dataBytesMentioned)} by their records, ${sizeInWords(dataBytesAllocated)} on the disk; ` +
        `content: ${chunks} chunks, ${sizeInWords(chunkBytes)}${verified}`,
    )
  }
  const verdict = findings.length === 0 ? 'clean' : `${findings.length} findings`
  lines.push(`${printable(data)}: ${verdict} (${layers} layers)`)
  return lines.join('\n')
}

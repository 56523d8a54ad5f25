/** `atoll check`: checks a store that no server uses, and repairs it with `--repair`. */

import { Command, Option } from 'commander'
import { type CheckReport, examine } from '../core/health/check.js'
import { DataDirectory } from '../core/directory/data_directory.js'
import { refusalOf, repair } from '../core/health/repair.js'
import type { EngineLog } from '../engine/engine.js'
import { sizeInWords } from '../lib/units.js'
import { print, printable, printError, printJson } from '../lib/printing.js'
import { dataOf, dataOption } from './data_option.js'
import { findingInWords } from './text/findings.js'

export const checkCommand = (): Command =>
  new Command('check')
    .description('check a store that no server is using')
    .addOption(dataOption('data directory'))
    .option('--content', 'also verify all stored content against its digests (slow)')
    .addOption(new Option('--verify-data', 'same as --content').implies({ content: true }))
    .option('--repair', 'repair whatever can be repaired without data loss, then check again')
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      `
Exit status: 0 the store is clean, 1 there are findings (left, with --repair), 2 the check could not be made.
docs/internals/reliability.md lists all findings, and what --repair does about each.`,
    )
    .action(async (options: Omit<CheckOptions, 'data'> & { data?: string }) => {
      process.exitCode = await check({ ...options, data: dataOf(options) })
    })

export interface CheckOptions {
  data: string
  content?: boolean
  repair?: boolean
  json?: boolean
}

export interface CheckResult extends CheckReport {
  data: string
  /** What `--repair` did, a sentence each. */
  repaired: string[]
  /** Why `--repair` did nothing. */
  refused?: string
}

/** Returns the exit status: 0 if the store is clean, 1 if findings are left. Throws if the check cannot be made. */
async function check(options: CheckOptions): Promise<number> {
  const result = await checkStore(options)
  if (options.json) printJson(result)
  else print(textOf(result, options.repair ?? false))
  return result.findings.length === 0 ? 0 : 1
}

export async function checkStore({
  data,
  content = false,
  repair: repairs = false,
}: CheckOptions): Promise<CheckResult> {
  const { directory, unlock, formatProblem } = DataDirectory.openToExamine(data)
  // Standard output is for the findings.
  const log: EngineLog = (level, message) => printError(`atoll: ${level}: ${message}`)
  try {
    if (repairs) directory.mustTakeWrites()
    const first = await examine(directory, { content, formatProblem, log })
    const refused = repairs ? refusalOf(first) : undefined
    const repaired = repairs ? await repair(directory, first, log) : []
    const { report } = repaired.length > 0 ? await examine(directory, { content, log }) : first
    return { data: directory.path, ...report, repaired, ...(refused !== undefined && { refused }) }
  } finally {
    unlock()
  }
}

function textOf(result: CheckResult, repairTried: boolean): string {
  const { data, layers, findings, notes, surplus, space, repaired, refused } = result
  const lines = repaired.map((line) => `repaired: ${printable(line)}`)
  if (refused !== undefined) lines.push(printable(refused))
  for (const finding of findings) lines.push(...findingInWords(finding, { repairTried }))
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

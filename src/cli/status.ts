/** `atoll status`: shows the status of a running server. */

import { Command } from 'commander'
import { DataDirectory } from '../core/directory/data_directory.js'
import type { TlsMode } from '../lib/addresses.js'
import { sizeInWords } from '../lib/units.js'
import type { StatusReport } from '../server/control.js'
import { askForStatus } from '../server/control_client.js'
import type { NbdTlsReport } from '../server/nbd_tls.js'
import { print, printable, printJson } from '../lib/printing.js'
import type { TlsFilesReport } from '../server/tls_files.js'
import { dataOf, dataOption } from './data_option.js'
import { exportsInWords } from './text/exports_table.js'
import { scrubInWords } from './text/scrub_words.js'

interface StatusOptions {
  data?: string
  json?: boolean
  exports?: boolean
}

export const statusCommand = (): Command =>
  new Command('status')
    .description('show the status of a running server')
    .addOption(dataOption("the server's data directory"))
    .option('--json', 'print everything as JSON')
    .option('--exports', 'print a table of the NBD exports: requests, bytes, errors, latencies')
    .addHelpText('after', '\nExit status: 0 the server is running, 1 it is not, 2 the status could not be read.')
    .action(async (options: StatusOptions) => {
      process.exitCode = await status(options)
    })

/** Returns the exit status: 0 if the server is running, 1 if not. */
async function status({ json = false, exports = false, ...options }: StatusOptions): Promise<number> {
  const directory = new DataDirectory(dataOf(options))
  directory.mustExist()
  const report = await askForStatus(directory.controlSocket)
  if (report === undefined) {
    if (json) printJson(null)
    else print(`no server is running on ${printable(directory.path)}`)
    return 1
  }
  if (json) printJson(report)
  else print(exports ? exportsInWords(report.exports) : inWords(report))
  return 0
}

function inWords(report: StatusReport): string {
  const { counters, counts, engine } = report
  const things = ['volumes', 'snapshots', 'images', 'objects', 'attachments']
  const lines = [
    `atoll ${report.version} serves ${printable(report.data)} (process ${report.process}) for ${duration(Date.now() - report.startedAt)}`,
    `  HTTP     ${report.http ?? 'off'}${report.httpTls === null ? '' : ' (TLS)'}`,
    ...(report.httpTls === null ? [] : certificateLines(report.httpTls, [])),
    ...report.nbd.map((address, i) => `  NBD      ${printable(address)}${tlsInWords(report.nbdTls[i])}`),
    ...certificateInWords(report.tls),
    ...(report.metrics ? [`  metrics  http://${report.metrics}/metrics`] : []),
    `  engine   ${engine.cache} files by ${engine.io === 'uring' ? 'io_uring' : 'threads'}, ${engine.reactors} reactors`,
    `  catalog  ${things.map((thing) => `${counts[thing] ?? 0} ${thing}`).join(', ')}`,
    `  open     ${counters.openResources} resources, ${counters.connections} NBD connections`,
    `  bytes    ${sizeInWords(counters.bytesRead)} read, ${sizeInWords(counters.bytesWritten)} written since the start`,
  ]
  const pending = report.reaperBacklog + counters.garbageEntries
  lines.push(pending === 0 ? '  freeing  nothing is waiting' : `  freeing  ${pending} pieces are being given back`)
  lines.push(...scrubInWords(report.scrub))
  return lines.join('\n')
}

function tlsInWords(mode: TlsMode | undefined): string {
  return mode === undefined || mode === 'off' ? '' : ` (TLS ${mode})`
}

function certificateInWords(tls: NbdTlsReport | null): string[] {
  if (tls === null) return []
  const ways: string[] = []
  if (tls.clientCertificates !== 'none') ways.push(`certificates of clients ${tls.clientCertificates}`)
  if (tls.psk) ways.push('pre-shared keys')
  return certificateLines(tls, ways)
}

/** `ways`: how else than by the certificate. */
function certificateLines({ certificate, problem }: TlsFilesReport, ways: string[]): string[] {
  const own =
    certificate === null
      ? []
      : [`certificate ${printable(certificate.subject)}, valid to ${certificate.validTo.slice(0, 10)}`]
  const lines = [`  TLS      ${[...own, ...ways].join('; ')}`]
  if (problem !== null) lines.push(`  TLS      the new files are not in use: ${printable(problem)}`)
  return lines
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const days = Math.floor(seconds / 86400)
  const clock = new Date((seconds % 86400) * 1000).toISOString().slice(11, 19)
  return days > 0 ? `${days} days ${clock}` : clock
}

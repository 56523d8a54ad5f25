/** `atoll status --exports`: a table of what each NBD export has been asked for. */

import type { ExportCounters } from '../../engine/nbd.js'
import { printable } from '../../lib/printing.js'

const mib = 1024 * 1024

const columns: readonly { head: string; cell: (one: ExportCounters) => string }[] = [
  { head: 'door', cell: (one) => one.door },
  { head: 'export', cell: (one) => printable(one.name) },
  { head: 'conns', cell: (one) => `${one.connections}` },
  { head: 'reads', cell: (one) => `${one.requests.read}` },
  { head: 'writes', cell: (one) => `${one.requests.write}` },
  { head: 'flushes', cell: (one) => `${one.requests.flush}` },
  { head: 'others', cell: ({ requests: r }) => `${r.trim + r.cache + r.writeZeroes + r.blockStatus}` },
  { head: 'errors', cell: (one) => `${one.errors}` },
  { head: 'MiB read', cell: (one) => (one.bytesRead / mib).toFixed(1) },
  { head: 'MiB written', cell: (one) => (one.bytesWritten / mib).toFixed(1) },
  { head: 'read p50', cell: (one) => latency(one.latencyUs.read, 0.5) },
  { head: 'p99', cell: (one) => latency(one.latencyUs.read, 0.99) },
  { head: 'write p50', cell: (one) => latency(one.latencyUs.write, 0.5) },
  { head: 'p99', cell: (one) => latency(one.latencyUs.write, 0.99) },
]
/** These are words, the others numbers. */
const leftColumns = 2

export function exportsInWords(exports: readonly ExportCounters[]): string {
  if (exports.length === 0) return 'no export has had a connection since the start'
  const rows = [columns.map(({ head }) => head), ...exports.map((one) => columns.map(({ cell }) => cell(one)))]
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const line = (row: string[]) =>
    row.map((text, i) => (i < leftColumns ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ')
  return rows.map(line).join('\n')
}

/** The bound that the share's last request was faster than: histograms know powers of two (native/nbd/server/export_counters.h). */
function latency(buckets: readonly number[], share: number): string {
  const total = buckets.reduce((sum, count) => sum + count, 0)
  if (total === 0) return '-'
  const rank = Math.ceil(total * share)
  let seen = 0
  const bucket = buckets.findIndex((count) => {
    seen += count
    return seen >= rank
  })
  if (bucket === buckets.length - 1) return `>=${inUnits(2 ** (bucket - 1))}`
  return `<${inUnits(2 ** bucket)}`
}

function inUnits(us: number): string {
  if (us < 1000) return `${us} µs`
  return us < 1_000_000 ? `${(us / 1000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(1)} s`
}

/** What fio says with --output-format=json (fio 3.x, HOWTO "JSON output"), of all jobs and directions together. */

export interface FioReport {
  operations: number
  bytes: number
  /** Of the longest job. */
  seconds: number
  operationsPerS: number
  bytesPerS: number
  /** Latency from submission to completion; 99.9 %: the worst of the jobs and directions. */
  p999Us: number
  maxUs: number
}

interface Direction {
  io_bytes: number
  total_ios: number
  /** Milliseconds. */
  runtime: number
  clat_ns: { max: number; percentile?: Record<string, number> }
}

interface Job {
  error: number
  read: Direction
  write: Direction
}

/** Throws when it is no report, or a job failed. */
export function parseFioReport(stdout: string): FioReport {
  // Notes of the engine come before it.
  const begin = stdout.indexOf('{')
  if (begin < 0) throw new Error(`fio printed no report:\n${stdout}`)
  const { jobs } = JSON.parse(stdout.slice(begin)) as { jobs: Job[] }
  const failed = jobs.find((job) => job.error !== 0)
  if (failed) throw new Error(`a job of fio failed with errno ${failed.error}`)
  const parts = jobs.flatMap(({ read, write }) => [read, write]).filter((part) => part.total_ios > 0)
  if (parts.length === 0) throw new Error('fio did no operations')
  const operations = sum(parts.map((part) => part.total_ios))
  const bytes = sum(parts.map((part) => part.io_bytes))
  const seconds = Math.max(...parts.map((part) => part.runtime)) / 1000
  return {
    operations,
    bytes,
    seconds,
    operationsPerS: operations / seconds,
    bytesPerS: bytes / seconds,
    p999Us: Math.max(...parts.map((part) => part.clat_ns.percentile?.['99.900000'] ?? 0)) / 1000,
    maxUs: Math.max(...parts.map((part) => part.clat_ns.max)) / 1000,
  }
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

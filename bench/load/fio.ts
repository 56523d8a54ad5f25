/** fio, the client of most cases: over NBD (libnbd), or straight on a file with io_uring. */

import { execa } from 'execa'
import { type FioReport, parseFioReport } from '../report/fio_report.js'

export type FioTarget = { uri: string } | { file: string; direct: boolean }

export interface Load {
  /** fio's --rw. */
  pattern: string
  blockBytes: number
  depth: number
  connections?: number
  /** Of the area that is read or written, from the start. */
  areaBytes: number
  /** How long; undefined: once over the area. */
  seconds?: number
  /** More of fio's options. */
  more?: string[]
}

export async function fio(target: FioTarget, load: Load): Promise<FioReport> {
  const { pattern, blockBytes, depth, connections = 1, areaBytes, seconds, more = [] } = load
  const where =
    'uri' in target
      ? ['--ioengine=nbd', `--uri=${target.uri}`]
      : ['--ioengine=io_uring', `--filename=${target.file}`, `--direct=${Number(target.direct)}`, '--invalidate=0']
  const args = [
    '--name=bench',
    ...where,
    `--rw=${pattern}`,
    `--bs=${blockBytes}`,
    `--iodepth=${depth}`,
    `--numjobs=${connections}`,
    '--group_reporting',
    `--size=${areaBytes}`,
    // Each run differs from the one before, for all contenders alike.
    '--randrepeat=0',
    '--output-format=json',
    ...(seconds === undefined ? [] : ['--time_based', `--runtime=${Math.round(seconds * 1000)}ms`]),
    ...more,
  ]
  // fio's engine leaves files where it runs.
  const { stdout } = await execa('fio', args, { cwd: '/tmp', stdin: 'ignore', timeout: 1_800_000 })
  return parseFioReport(stdout)
}

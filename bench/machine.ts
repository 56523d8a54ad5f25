/** What the figures were measured on. */

import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { execa } from 'execa'
import { GiB } from '../src/lib/units.js'

const packages = ['qemu-utils', 'nbdkit', 'nbd-server', 'fio', 'libnbd-bin', 'nginx', 'swift-object', 'wrk']

/** How busy the machine is with other things: figures of a busy one are worth little, their ratios a bit more. */
export function loadNow(): string {
  return loadavg()[0]?.toFixed(1) ?? 'unknown'
}

export async function describeMachine(dir: string): Promise<Record<string, string>> {
  const [{ model = 'unknown' } = {}] = cpus()
  return {
    processors: `${cpus().length} × ${model}`,
    memory: `${(totalmem() / GiB).toFixed(0)} GiB`,
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
    'file system': await firstLine('stat', ['--file-system', '--format=%T', dir]),
    'TCP congestion control': readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim(),
    node: process.version,
    peers: (await Promise.all(packages.map(versionOf))).join(', '),
    commit: await firstLine('git', ['describe', '--always', '--dirty']),
  }
}

async function versionOf(name: string): Promise<string> {
  return `${name} ${await firstLine('dpkg-query', ['--show', `--showformat=\${Version}`, name])}`
}

async function firstLine(program: string, args: string[]): Promise<string> {
  const { stdout, exitCode } = await execa(program, args, { reject: false })
  return exitCode === 0 && stdout ? (stdout.split('\n')[0] ?? '') : 'unknown'
}

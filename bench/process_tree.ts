/** CPU time and disk reads of a process and all of its descendants, by /proc (proc(5)). */

import { readdirSync, readFileSync } from 'node:fs'

export interface Usage {
  cpuS: number
  /** What really came from the disk. */
  diskReadBytes: number
}

// USER_HZ, which is 100 on every architecture that Debian has.
const ticksPerS = 100

export function usageOf(pid: number): Usage {
  let ticks = 0
  let diskReadBytes = 0
  for (const member of withDescendants(pid)) {
    const stat = statOf(member)
    if (stat === undefined) continue
    // Children that ended count to their parent once it has waited for them: those that live are members themselves.
    ticks += stat.ticks
    diskReadBytes += readBytesOf(member)
  }
  return { cpuS: ticks / ticksPerS, diskReadBytes }
}

/** Resident memory of the process and its descendants, without what only maps files. */
export function anonymousBytesOf(pid: number): number {
  return withDescendants(pid).reduce((sum, member) => {
    const status = textOf(`/proc/${member}/status`) ?? ''
    return sum + Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  }, 0)
}

/** CPU seconds of this process and of all the children that it has waited for. */
export function ownCpuS(): number {
  return (statOf(process.pid)?.ticks ?? 0) / ticksPerS
}

function withDescendants(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    const stat = Number.isInteger(pid) ? statOf(pid) : undefined
    if (stat !== undefined) children.set(stat.parent, [...(children.get(stat.parent) ?? []), pid])
  }
  const found = [root]
  // What is found last is looked into later.
  for (const pid of found) found.push(...(children.get(pid) ?? []))
  return found
}

function statOf(pid: number): { parent: number; ticks: number } | undefined {
  const text = textOf(`/proc/${pid}/stat`)
  // The name, in parentheses, may hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields === undefined) return undefined
  const [, parent, , , , , , , , , , utime, stime, cutime, cstime] = fields.map(Number)
  return { parent: parent ?? 0, ticks: (utime ?? 0) + (stime ?? 0) + (cutime ?? 0) + (cstime ?? 0) }
}

function readBytesOf(pid: number): number {
  return Number(/^read_bytes: (\d+)$/m.exec(textOf(`/proc/${pid}/io`) ?? '')?.[1] ?? 0)
}

/** undefined: the process is gone. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

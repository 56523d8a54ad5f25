/** A server as a process of its own: started, waited for, ended. What it says goes to a file. */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'

export interface Daemon {
  pid: number
  log(): string
  stop(): Promise<void>
}

interface DaemonOptions {
  program: string
  args: string[]
  logPath: string
  /** Asked again and again until it is true, for a minute at most. */
  ready(daemon: Daemon): Promise<boolean>
}

const running = new Set<Pick<Daemon, 'stop'>>()

/** Whatever was started and not stopped: a server that lived on would keep the bench from ending. */
export async function stopRunning(): Promise<void> {
  for (const one of running) await one.stop()
}

const startLimitMs = 60_000
const stopLimitMs = 60_000

export async function startDaemon({ program, args, logPath, ready }: DaemonOptions): Promise<Daemon> {
  const output = openSync(logPath, 'w')
  const child = spawn(program, args, { stdio: ['ignore', output, output] })
  closeSync(output)
  const ended = new Promise<void>((resolve) => {
    child.on('exit', () => resolve()).on('error', () => resolve())
  })
  const daemon: Daemon = {
    pid: child.pid ?? 0,
    log: () => readFileSync(logPath, 'utf8'),
    stop: async () => {
      running.delete(daemon)
      await stop(child, ended)
    },
  }
  running.add(daemon)
  const begin = performance.now()
  while (!(await ready(daemon))) {
    const gone = child.pid === undefined || child.exitCode !== null || child.signalCode !== null
    if (gone || performance.now() - begin > startLimitMs) {
      await daemon.stop()
      throw new Error(`${program} ${args.join(' ')} did not start:\n${daemon.log().split('\n').slice(-15).join('\n')}`)
    }
    await sleep(10)
  }
  return daemon
}

/** For a server that puts itself into the background and writes its number to a file. */
export async function startInBackground(options: {
  program: string
  args: string[]
  pidPath: string
  ready(): Promise<boolean>
}): Promise<Pick<Daemon, 'pid' | 'stop'>> {
  const { program, args, pidPath, ready } = options
  await execa(program, args, { stdin: 'ignore' })
  const begin = performance.now()
  while (!existsSync(pidPath) || !(await ready())) {
    if (performance.now() - begin > startLimitMs) throw new Error(`${program} ${args.join(' ')} did not start`)
    await sleep(10)
  }
  const pid = Number(readFileSync(pidPath, 'utf8'))
  const daemon = {
    pid,
    stop: async () => {
      running.delete(daemon)
      process.kill(pid, 'SIGTERM')
      // It is nobody's child here: where the first process of a container waits for none, a zombie is what stays.
      while (stateOf(pid) !== 'gone') await sleep(10)
    },
  }
  running.add(daemon)
  return daemon
}

function stateOf(pid: number): 'lives' | 'gone' {
  if (!existsSync(`/proc/${pid}/status`)) return 'gone'
  return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) ? 'gone' : 'lives'
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs)
  await ended
  clearTimeout(timer)
}

let socketFolder: string | undefined
let socketCount = 0

/** A path for a socket that is short enough, wherever the data lies (107 bytes, unix(7)). It goes with this process. */
export function socketPath(): string {
  if (socketFolder === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'atoll-bench-'))
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
    socketFolder = folder
  }
  return join(socketFolder, `${socketCount++}.sock`)
}

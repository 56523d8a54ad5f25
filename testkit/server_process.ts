// server_process.ts: `atoll serve` as a process of its own, that tests can kill, stop and start again.
//
// Its ports stay the same over restarts, so that what clients were told goes on being right. Everything it wrote to its log
// is shown when the test that owns it fails to start or stop it.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import type { StatusReport } from '../src/server/control.js'
import type { EngineCounters } from '../src/engine/engine.js'
import { answers, freePort } from './ports.js'

/** `atoll`, for node. */
export const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const startLimitMs = 60_000
const stopLimitMs = 30_000

interface Teardown {
  teardown(end: () => unknown): unknown
}

export interface ServerProcessOptions {
  /** Default: a folder in the scratch folder. */
  dataDir?: string
  /** More options of `atoll serve`. */
  arguments?: string[]
  /** More variables of its environment. */
  environment?: Record<string, string>
}

/** Starts a server; it ends with the test, and its scratch folder goes. */
export async function startServerProcess(t: Teardown, options: ServerProcessOptions = {}): Promise<ServerProcess> {
  const scratchDir = await mkdtemp(join(tmpdir(), 'atoll-e2e-'))
  const server = new ServerProcess(scratchDir, await freePort(), await freePort(), options)
  t.teardown(async () => {
    await server.kill()
    await rm(scratchDir, { recursive: true, force: true })
  })
  await server.start()
  return server
}

export class ServerProcess {
  readonly dataDir: string
  readonly url: string
  /** The operator's door: everything by its id. */
  readonly nbdSocket: string
  /** The tenants' door, `HOST:PORT`. */
  readonly nbdAddress: string
  readonly #arguments: string[]
  readonly #environment: Record<string, string>
  #process: ReturnType<typeof spawn> | undefined
  #log = ''

  constructor(
    /** For files of the test. */
    readonly scratchDir: string,
    httpPort: number,
    nbdPort: number,
    options: ServerProcessOptions,
  ) {
    this.dataDir = options.dataDir ?? join(scratchDir, 'data')
    this.url = `http://127.0.0.1:${httpPort}`
    this.nbdSocket = join(scratchDir, 'nbd.sock')
    this.nbdAddress = `127.0.0.1:${nbdPort}`
    const doors = [
      '--http',
      `127.0.0.1:${httpPort}`,
      '--nbd',
      this.nbdAddress,
      '--nbd',
      `unix:${this.nbdSocket}`,
      '--log',
      'json',
    ]
    this.#environment = options.environment ?? {}
    this.#arguments = ['serve', '--data', this.dataDir, ...doors, ...(options.arguments ?? [])]
  }

  /** Resolves when it says that it is serving, and answers; with the milliseconds that took. */
  async start(): Promise<number> {
    const begin = performance.now()
    const server = spawn(this.#arguments, this.#environment)
    this.#process = server
    this.#log = ''
    server.stdout.on('data', (text) => {
      this.#log += text
    })
    while (!this.#log.includes('"msg":"serving"') || !(await this.#answers())) {
      if (server.exitCode !== null || server.signalCode !== null)
        throw new Error(`the server ended:\n${tail((await server).all)}`)
      if (performance.now() - begin > startLimitMs)
        throw new Error(`no answer in a minute:\n${tail((await this.kill())?.all)}`)
      await sleep(5)
    }
    return performance.now() - begin
  }

  /** Resolves with the first line of its log (since its start) that matches; rejects when it ends before. */
  async says(words: RegExp): Promise<string> {
    const stdout = this.#process?.stdout
    if (stdout === undefined) throw new Error('no server runs')
    for (;;) {
      const whole = this.#log.split('\n').slice(0, -1)
      const line = whole.find((text) => words.test(text))
      if (line !== undefined) return line
      if (stdout.readableEnded) throw new Error(`it ended without saying ${words}:\n${tail(this.#log)}`)
      await new Promise<void>((resolve) => {
        stdout.once('data', () => resolve())
        stdout.once('end', () => resolve())
      })
    }
  }

  /** Of the process that runs now. */
  get pid(): number {
    const pid = this.#process?.pid
    if (pid === undefined) throw new Error('no server runs')
    return pid
  }

  /** SIGKILL: no word of warning. Resolves when it is gone; also right when nothing runs. */
  async kill() {
    this.#process?.kill('SIGKILL')
    return this.#ended()
  }

  /** SIGTERM, as an operator's service manager sends it; the server must end well. */
  async stop(): Promise<void> {
    this.#process?.kill('SIGTERM')
    const timer = setTimeout(() => this.#process?.kill('SIGKILL'), stopLimitMs)
    const result = await this.#ended()
    clearTimeout(timer)
    if (result?.exitCode !== 0)
      throw new Error(`exit status ${result?.exitCode} ${result?.signal}:\n${tail(result?.all)}`)
  }

  /** The URI of a volume, snapshot or image at the operator's door. */
  operatorUri(id: string): string {
    return `nbd+unix:///${id}?socket=${this.nbdSocket}`
  }

  /** The OS_* variables of the first admin. */
  async environment(): Promise<Record<string, string>> {
    return adminOf(this.dataDir)
  }

  async status(): Promise<StatusReport> {
    const { exitCode, all, stdout } = await atoll('status', '--json', '--data', this.dataDir)
    if (exitCode !== 0) throw new Error(`atoll status: exit status ${exitCode}\n${all}`)
    return JSON.parse(stdout) as StatusReport
  }

  /** The engine's counters, since this process started. */
  async counters(): Promise<EngineCounters> {
    return (await this.status()).counters
  }

  /** `atoll check` with the content's digests. The server must be stopped. */
  check(...more: string[]) {
    return atoll('check', '--content', ...more, '--data', this.dataDir)
  }

  async #ended() {
    const result = await this.#process
    this.#process = undefined
    return result
  }

  async #answers(): Promise<boolean> {
    const health = await fetch(`${this.url}/healthcheck`).catch(() => undefined)
    if (!health?.ok) return false
    return answers({ path: this.nbdSocket })
  }
}

/** The OS_* variables of the first admin. */
export async function adminOf(dataDir: string): Promise<Record<string, string>> {
  const script = await readFile(join(dataDir, 'openrc', 'admin.sh'), 'utf8')
  const lines = script.matchAll(/^export (OS_[A-Z_]+)=(?:'([^']*)'|"([^"]*)"|(\S*))$/gm)
  return Object.fromEntries(
    [...lines].map(([, name, ...values]) => [name, values.find((value) => value !== undefined)]),
  )
}

/** `atoll` with these arguments. Never rejects: tests look at the exit status. */
export function atoll(...args: string[]) {
  return execa(process.execPath, [program, ...args], { all: true, reject: false, stdin: 'ignore', timeout: 120_000 })
}

function spawn(args: string[], env: Record<string, string>) {
  // Who asks for SIGTERM means SIGTERM: execa would follow it up with SIGKILL.
  const options = { all: true, reject: false, stdin: 'ignore', forceKillAfterDelay: false, env } as const
  return execa(process.execPath, [program, ...args], options)
}

/** The end of a log, for an error's message. */
function tail(log: string | undefined): string {
  return (log ?? '').split('\n').slice(-15).join('\n')
}

// server_process.ts: `atoll serve` as a process of its own, that tests can kill, stop and start again.
//
// Its ports stay the same over restarts, so that what clients were told goes on being right. Everything it wrote to its log
// is shown when the test that owns it fails to start or stop it.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const startLimitMs = 30_000
const stopLimitMs = 30_000

interface Teardown {
  teardown(end: () => unknown): unknown
}

export interface ServerProcessOptions {
  /** Default: a folder in the scratch folder. */
  dataDir?: string
  /** More options of `atoll serve`. */
  arguments?: string[]
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
  #process: ReturnType<typeof spawn> | undefined

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
    const doors = ['--http', `127.0.0.1:${httpPort}`, '--nbd', this.nbdAddress, '--nbd', `unix:${this.nbdSocket}`]
    this.#arguments = ['serve', '--data', this.dataDir, ...doors, ...(options.arguments ?? [])]
  }

  /** Resolves when both the API and NBD answer; with the milliseconds that took. */
  async start(): Promise<number> {
    const begin = performance.now()
    const server = spawn(this.#arguments)
    this.#process = server
    while (!(await this.#answers())) {
      if (server.exitCode !== null || server.signalCode !== null)
        throw new Error(`the server ended:\n${(await server).all}`)
      if (performance.now() - begin > startLimitMs) throw new Error(`no answer in 30 s:\n${(await this.kill())?.all}`)
      await sleep(10)
    }
    return performance.now() - begin
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
    if (result?.exitCode !== 0) throw new Error(`exit status ${result?.exitCode} ${result?.signal}:\n${result?.all}`)
  }

  /** The URI of a volume, snapshot or image at the operator's door. */
  operatorUri(id: string): string {
    return `nbd+unix:///${id}?socket=${this.nbdSocket}`
  }

  /** The OS_* variables of the first admin. */
  async environment(): Promise<Record<string, string>> {
    const script = await readFile(join(this.dataDir, 'openrc', 'admin.sh'), 'utf8')
    const lines = script.matchAll(/^export (OS_[A-Z_]+)=(?:'([^']*)'|"([^"]*)"|(\S*))$/gm)
    return Object.fromEntries(
      [...lines].map(([, name, ...values]) => [name, values.find((value) => value !== undefined)]),
    )
  }

  async #ended() {
    const result = await this.#process
    this.#process = undefined
    return result
  }

  async #answers(): Promise<boolean> {
    const health = await fetch(`${this.url}/healthcheck`).catch(() => undefined)
    if (!health?.ok) return false
    return new Promise((resolve) => {
      const socket = createConnection(this.nbdSocket)
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
  }
}

/** `atoll` with these arguments. Never rejects: tests look at the exit status. */
export function atoll(...args: string[]) {
  return execa(process.execPath, [program, ...args], { all: true, reject: false, stdin: 'ignore', timeout: 120_000 })
}

function spawn(args: string[]) {
  return execa(process.execPath, [program, ...args], { all: true, reject: false, stdin: 'ignore' })
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  await new Promise((resolve) => listener.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

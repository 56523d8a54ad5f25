/**
 * A PostgreSQL server of this process's own: a cluster in a temporary directory, reached by a socket in it, ended with the process.
 * Nothing is durable there, so that it is fast.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

interface Account {
  uid?: number
  gid?: number
}

/** PostgreSQL refuses to run as root; the account is that of Debian's package. */
function account(): Account {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

const versionsDir = '/usr/lib/postgresql'

/** Of the newest version that is installed. */
function programs(): string {
  const versions = existsSync(versionsDir) ? readdirSync(versionsDir).map(Number) : []
  if (versions.length === 0)
    throw new Error(`there is no PostgreSQL in ${versionsDir}: install Debian's package "postgresql"`)
  return join(versionsDir, String(Math.max(...versions)), 'bin')
}

const settings = {
  listen_addresses: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '100',
  shared_buffers: '64MB',
  autovacuum: 'off',
  log_min_messages: 'fatal',
}

export class PostgresServer {
  readonly #account = account()
  readonly #bin = programs()
  readonly #directory = mkdtempSync(join(tmpdir(), 'atoll-postgres-'))
  readonly #more: Record<string, string>
  #process: ChildProcess | undefined
  #databases = 0
  readonly #end = () => this.#kill()

  private constructor(more: Record<string, string>) {
    this.#more = more
  }

  static async start(more: Record<string, string> = {}): Promise<PostgresServer> {
    const server = new PostgresServer(more)
    const { uid, gid } = server.#account
    chmodSync(server.#directory, 0o755)
    if (uid !== undefined && gid !== undefined) chownSync(server.#directory, uid, gid)
    const how = ['--username=atoll', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync']
    server.#run('initdb', ['-D', server.#data, ...how])
    process.on('exit', server.#end)
    await server.run()
    return server
  }

  get #data(): string {
    return join(this.#directory, 'data')
  }

  /** The URL of a database. */
  url(database: string): string {
    return `postgres://atoll@/${database}?host=${encodeURIComponent(this.#directory)}`
  }

  /** A new database, empty if the options name no template; returns its URL. */
  createDatabase(options = ''): string {
    const name = `catalog_${++this.#databases}`
    this.sql(`create database ${name} ${options}`)
    return this.url(name)
  }

  /** By psql; returns what it prints. */
  sql(text: string, database = 'postgres'): string {
    return this.#run('psql', [
      '-X',
      '-q',
      '-A',
      '-t',
      '-v',
      'ON_ERROR_STOP=1',
      '-h',
      this.#directory,
      '-U',
      'atoll',
      '-d',
      database,
      '-c',
      text,
    ])
  }

  /** Resolves when it takes connections. */
  async run(): Promise<void> {
    for (;;) {
      const said = await this.#start()
      if (said === undefined) return
      // The processes of one that was killed end when they notice it.
      if (!said.includes('is still in use')) throw new Error(`PostgreSQL does not start: ${said}`)
      await pause(20)
    }
  }

  /** Returns what it says when it does not start. */
  async #start(): Promise<string | undefined> {
    const options = Object.entries({ ...settings, ...this.#more }).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ])
    const log = join(this.#directory, 'log')
    const out = openSync(log, 'w')
    const child = spawn(join(this.#bin, 'postgres'), ['-D', this.#data, '-k', this.#directory, ...options], {
      ...this.#account,
      cwd: '/',
      stdio: ['ignore', out, out],
    })
    closeSync(out)
    // The process that uses it may end when it has nothing else to do.
    child.unref()
    this.#process = child
    while (!this.#ready()) {
      if (child.exitCode !== null) return readFileSync(log, 'utf8').slice(-4000)
      await pause(20)
    }
    return undefined
  }

  /** As `kill -9` of the server and all of its processes. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null) return
    // Its processes end when they notice that it is gone; a new server waits for that.
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.ref()
    child.kill('SIGKILL')
    await ended
    this.#process = undefined
  }

  /** With what it has. */
  async stop(): Promise<void> {
    const child = this.#process
    if (child !== undefined && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.ref()
      child.kill('SIGINT')
      await ended
    }
    process.off('exit', this.#end)
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #ready(): boolean {
    try {
      this.#run('psql', ['-X', '-h', this.#directory, '-U', 'atoll', '-d', 'postgres', '-c', 'select 1'])
      return true
    } catch {
      return false
    }
  }

  #run(program: string, args: string[]): string {
    return execFileSync(join(this.#bin, program), args, {
      ...this.#account,
      cwd: '/',
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  #kill(): void {
    this.#process?.kill('SIGQUIT')
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

// nbd_tools.ts: the NBD clients that the tests run, each with a limit on its time and its output in the error.
//
// Clients come in two generations, because they negotiate differently: those that this machine has installed (Debian 12's never
// ask for extended headers) and the newest, from the Debian 13 tree that scripts/newest-clients keeps. A test of a client runs
// once for each of `generations`.

import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const newestClientsScript = fileURLToPath(new URL('../scripts/newest-clients', import.meta.url))

const limitMs = 300_000

/** Runs a program of this machine. Returns what it printed on both streams. */
export async function tool(program: string, args: string[], { cwd = '/' } = {}): Promise<string> {
  const { exitCode, all, timedOut } = await execa(program, args, {
    all: true,
    reject: false,
    stdin: 'ignore',
    timeout: limitMs,
    cwd,
  })
  const how = timedOut ? `not done within ${limitMs / 1000} s` : `exit status ${exitCode}`
  if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')}: ${how}\n${all}`)
  return all
}

/** NBD clients of one generation: QEMU, libnbd, nbd-client and fio. */
export class NbdClients {
  constructor(
    /** For the names of tests. */
    readonly name: string,
    /** The command that runs a program of this generation. Empty: programs run as they are. */
    readonly runner: readonly string[],
  ) {}

  /** The program and the arguments to spawn. The child has the process ID of the client itself, so signals reach it. */
  command(program: string, args: readonly string[] = []): [program: string, args: string[]] {
    const [first = program, ...rest] = [...this.runner, program, ...args]
    return [first, rest]
  }

  /** Runs a client. Returns what it printed on both streams. */
  run(program: string, args: string[], options: { cwd?: string } = {}): Promise<string> {
    return tool(...this.command(program, args), options)
  }

  /** Runs a script with libnbd connected as `h`. Returns what it printed. */
  nbdsh(uri: string, script: string, { localFiles = false } = {}): Promise<string> {
    const lines = ['import errno, nbd', 'h = nbd.NBD()', 'h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)']
    // Those that a URI names: certificates, keys.
    if (localFiles) lines.push('h.set_uri_allow_local_file(True)')
    return this.python([...lines, `h.connect_uri(${JSON.stringify(uri)})`, script].join('\n'))
  }

  /** Runs Debian's Python, which has the binding of libnbd. Returns what it printed. */
  python(script: string): Promise<string> {
    return this.run('/usr/bin/python3', ['-c', script])
  }

  /**
   * Runs fio over libnbd: random writes of 512 bytes to 64 KiB, each with its CRC-32C, read back and verified. Each job has a
   * connection and a part of the export to itself.
   */
  fioVerify(uri: string, options: { connections: number; mibEach: number; cwd: string }): Promise<string> {
    const { connections, mibEach, cwd } = options
    const shape = [
      '--rw=randwrite',
      '--bsrange=512-64k',
      '--iodepth=16',
      `--size=${mibEach}m`,
      `--numjobs=${connections}`,
    ]
    const verify = ['--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--randseed=20']
    const target = ['--ioengine=nbd', `--uri=${uri}`, `--offset_increment=${mibEach}m`]
    const flush = ['--group_reporting', '--fsync=64']
    return this.run('fio', ['--name=atoll', ...target, ...shape, ...verify, ...flush], { cwd })
  }
}

export const hostClients = new NbdClients("this machine's clients", [])
export const newestClients = new NbdClients("Debian 13's clients", [newestClientsScript])
export const generations: readonly NbdClients[] = [hostClients, newestClients]

/** The root of the tree that the newest clients run in. Makes the tree when the cache has none. */
export async function newestTree(): Promise<string> {
  return (await tool(newestClientsScript, [])).trim()
}

/** libnbd of this machine from Python, see {@link NbdClients.nbdsh}. */
export function nbdsh(uri: string, script: string, options: { localFiles?: boolean } = {}): Promise<string> {
  return hostClients.nbdsh(uri, script, options)
}

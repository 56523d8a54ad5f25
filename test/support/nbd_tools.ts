// nbd_tools.ts: the NBD clients that the tests run, each with a limit on its time and its output in the error.

import { execa } from 'execa'

const limitMs = 300_000

/** Runs a client; answers what it printed on both streams. */
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

/** libnbd from Python, connected as `h`; answers what the script printed. Debian's Python: libnbd's binding is there. */
export function nbdsh(uri: string, script: string, { localFiles = false } = {}): Promise<string> {
  const lines = ['import errno, nbd', 'h = nbd.NBD()', 'h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)']
  // Those that a URI names: certificates, keys.
  if (localFiles) lines.push('h.set_uri_allow_local_file(True)')
  return tool('/usr/bin/python3', ['-c', [...lines, `h.connect_uri(${JSON.stringify(uri)})`, script].join('\n')])
}

/**
 * fio over libnbd: random writes of 512 bytes to 64 KiB, each with its CRC-32C, read back and verified. Each job has a connection
 * and a part of the export to itself.
 */
export function fioVerify(
  uri: string,
  options: { connections: number; mibEach: number; cwd: string },
): Promise<string> {
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
  return tool('fio', ['--name=atoll', ...target, ...shape, ...verify, '--group_reporting', '--fsync=64'], { cwd })
}

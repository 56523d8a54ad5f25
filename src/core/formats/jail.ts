/**
 * Runs qemu-img on bytes that a tenant uploaded. It reads one NBD export and writes another one, over one Unix socket, and is given no
 * file at all.
 *
 * Where the kernel allows unprivileged user namespaces: namespaces of its own for users, mounts, processes, network, IPC and host name;
 * a root directory with nothing but /usr, its libraries and the socket, all read-only; no capabilities. Everywhere: no new privileges,
 * another user than root, bounded memory, CPU time, descriptors and run time, and no file that it could write (limit 0). It ends with the
 * server, whatever ends the server.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ConversionFailed } from '../model/errors.js'

export interface Conversion {
  /** A directory of ours, which other users may enter but not list. */
  directory: string
  /** The socket's name in it. */
  socket: string
  /** Export names. */
  source: string
  target: string
  /** Of the source. */
  driver: 'qcow2'
  signal: AbortSignal
  /** 0 to 100. */
  onProgress(percent: number): void
}

const limits = { addressBytes: 2 << 30, cpuSeconds: 3600, files: 64, runMs: 2 * 3600_000 }
const nobody = '65534'
const outputBytesMax = 4096

/** `$1` the new root, `$2` the socket; the command follows. Only what a program needs to start is there. */
const enterRoot = `set -eu
root=$1 socket=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o size=64k,mode=755 jail "$root"
for name in usr lib lib64 bin; do
  if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"
  elif [ -d "/$name" ]; then
    mkdir "$root/$name"
    mount --rbind "/$name" "$root/$name"
    mount -o remount,bind,ro "$root/$name"
  fi
done
touch "$root/nbd.sock"
mount --bind "$socket" "$root/nbd.sock"
cd "$root"
exec chroot "$root" "$@"`

const namespaces = [
  '--user',
  '--map-root-user',
  '--mount',
  '--pid',
  '--net',
  '--ipc',
  '--uts',
  '--fork',
  '--kill-child=KILL',
]

/** Resolves when the target has all the bytes. Throws ConversionFailed, in the tool's words. */
export async function convertToRaw(conversion: Conversion): Promise<{ namespaces: boolean }> {
  const { directory, socket } = conversion
  const isolated = await namespacesWork()
  const root = join(directory, 'root')
  mkdirSync(root, { recursive: true, mode: 0o755 })
  const path = join(directory, socket)
  const tool = [...inside(), ...qemuImg(conversion, isolated ? '/nbd.sock' : path)]
  const command = isolated
    ? [...outside(), 'unshare', ...namespaces, '--', '/bin/sh', '-c', enterRoot, 'sh', root, path, ...tool]
    : [...outside(), ...tool]
  await run(command, conversion)
  return { namespaces: isolated }
}

/** Ends with the server; never root. */
function outside(): string[] {
  const isRoot = process.getuid?.() === 0
  const user = isRoot ? [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'] : []
  return ['setpriv', ...user, '--no-new-privs', '--pdeathsig=KILL']
}

function inside(): string[] {
  const { addressBytes, cpuSeconds, files } = limits
  const bounds = [`--as=${addressBytes}`, `--cpu=${cpuSeconds}`, `--nofile=${files}`, '--fsize=0', '--core=0']
  return ['/usr/bin/prlimit', ...bounds, '/usr/bin/setpriv', '--inh-caps=-all', '--bounding-set=-all', '--no-new-privs']
}

function qemuImg({ driver, source, target }: Conversion, socket: string): string[] {
  const server = { driver: 'nbd', server: { type: 'unix', path: socket } }
  // Every node of the graph is named here: the file cannot add one.
  const from = { driver, backing: null, 'read-only': true, file: { ...server, export: source } }
  const to = `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${socket},file.export=${target}`
  const options = ['-p', '-n', '--target-is-zero', '-t', 'writeback', '--target-image-opts']
  return ['/usr/bin/qemu-img', 'convert', ...options, `json:${JSON.stringify(from)}`, to]
}

let working: Promise<boolean> | undefined

function namespacesWork(): Promise<boolean> {
  working ??= new Promise((resolve) => {
    const [command = '', ...args] = [
      ...outside(),
      'unshare',
      ...namespaces,
      '--',
      '/bin/sh',
      '-c',
      'mount -t tmpfs x /mnt',
    ]
    const child = spawn(command, args, { stdio: 'ignore', env: environment })
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === 0))
  })
  return working
}

const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }

function run([command = '', ...args]: string[], conversion: Conversion): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment, cwd: '/' })
    const timer = setTimeout(() => child.kill('SIGKILL'), limits.runMs)
    const onAbort = () => child.kill('SIGKILL')
    conversion.signal.addEventListener('abort', onAbort, { once: true })
    if (conversion.signal.aborted) onAbort()
    const errors = collectOutput(child, conversion)
    let failure: Error | undefined
    child.on('error', (error) => {
      failure = error
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      conversion.signal.removeEventListener('abort', onAbort)
      if (code === 0) return resolve()
      const words = failure?.message ?? (signal === null ? errors() : `it was ended by ${signal}`)
      reject(new ConversionFailed(words || `exit code ${code}`))
    })
  })
}

/** Returns what gives the last line of the errors, without the names of exports. */
function collectOutput({ stdout, stderr }: ChildProcess, { source, target, onProgress }: Conversion): () => string {
  stdout?.on('data', (data: Buffer) => {
    const percent = /\((\d{1,3})\.\d+\/100%\)[^(]*$/.exec(data.toString('latin1', 0, outputBytesMax))?.[1]
    if (percent !== undefined) onProgress(Math.min(Number(percent), 100))
  })
  let errors = ''
  stderr?.on('data', (data: Buffer) => {
    errors = (errors + data.toString('utf8', 0, outputBytesMax)).slice(-outputBytesMax)
  })
  return () => (errors.trim().split('\n').at(-1) ?? '').replaceAll(source, '…').replaceAll(target, '…').slice(0, 300)
}

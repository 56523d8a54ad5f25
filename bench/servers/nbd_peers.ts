/**
 * The peers' NBD servers, each serving one file (or, nbd-server, many) as its own documentation recommends for speed.
 * A peer that does not have the cache mode that is asked for is not started at all: see `servers`.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, freePort } from '../../testkit/ports.js'
import { socketPath, startDaemon, startInBackground } from './daemon.js'

export type Transport = 'unix' | 'tcp'
export type CacheMode = 'buffered' | 'direct'

export interface ServeOptions {
  /** For configuration and logs. */
  dir: string
  file: string
  transport: Transport
  cache: CacheMode
}

export interface NbdServer {
  uri: string
  pid: number
  stop(): Promise<void>
}

type Serve = (options: ServeOptions) => Promise<NbdServer>

/** By the peer's name. nbdkit's file plugin and nbd-server have no direct I/O. */
export const nbdServers: Record<string, { modes: readonly CacheMode[]; format: 'raw' | 'qcow2'; serve: Serve }> = {
  'qemu-nbd raw': { modes: ['buffered', 'direct'], format: 'raw', serve: (options) => qemuNbd('raw', options) },
  'qemu-nbd qcow2': { modes: ['buffered', 'direct'], format: 'qcow2', serve: (options) => qemuNbd('qcow2', options) },
  nbdkit: { modes: ['buffered'], format: 'raw', serve: nbdkit },
  'nbd-server': { modes: ['buffered'], format: 'raw', serve: (options) => nbdServer(options, { disk: options.file }) },
}

interface Address {
  uri(name: string): string
  socket?: string
  port?: number
  ready(): Promise<boolean>
}

async function newAddress(transport: Transport): Promise<Address> {
  if (transport === 'unix') {
    const socket = socketPath()
    return { socket, uri: (name) => `nbd+unix:///${name}?socket=${socket}`, ready: () => answers({ path: socket }) }
  }
  const port = await freePort()
  const host = '127.0.0.1'
  return { port, uri: (name) => `nbd://${host}:${port}/${name}`, ready: () => answers({ host, port }) }
}

/** `format`: raw or qcow2. Its AIO as its manual pairs them: threads through the page cache, native for direct I/O. */
export async function qemuNbd(format: string, { dir, file, transport, cache }: ServeOptions): Promise<NbdServer> {
  const address = await newAddress(transport)
  const where = address.socket ? [`--socket=${address.socket}`] : ['--bind=127.0.0.1', `--port=${address.port}`]
  const mode = cache === 'direct' ? ['--cache=none', '--aio=native'] : ['--cache=writeback', '--aio=threads']
  const args = ['--persistent', '--shared=0', `--format=${format}`, '--discard=unmap', ...mode, ...where, file]
  return start({ program: 'qemu-nbd', args, dir, name: `qemu-${format}`, address })
}

async function nbdkit({ dir, file, transport }: ServeOptions): Promise<NbdServer> {
  const address = await newAddress(transport)
  const where = address.socket ? [`--unix=${address.socket}`] : ['--ipaddr=127.0.0.1', `--port=${address.port}`]
  return start({ program: 'nbdkit', args: ['--foreground', ...where, 'file', file], dir, name: 'nbdkit', address })
}

/** `exports`: files by export name; the answer's URI is of the first. It listens on TCP in any case. */
export async function nbdServer({ dir, transport }: ServeOptions, exports: Record<string, string>): Promise<NbdServer> {
  const address = await newAddress(transport)
  const where = [`listenaddr = 127.0.0.1`, `port = ${address.port ?? (await freePort())}`]
  if (address.socket) where.push(`unixsock = ${address.socket}`)
  const [config, pidPath] = [join(dir, 'nbd-server.conf'), join(dir, 'nbd-server.pid')]
  const sections = Object.entries(exports).map(
    ([name, file]) => `[${name}]\nexportname = ${file}\nflush = true\nfua = true\n`,
  )
  await writeFile(config, `[generic]\n${where.join('\n')}\nmax_threads = 16\n${sections.join('\n')}`)
  const args = ['-C', config, '-p', pidPath]
  const { pid, stop } = await startInBackground({ program: 'nbd-server', args, pidPath, ready: address.ready })
  return { uri: address.uri(Object.keys(exports)[0] ?? ''), pid, stop }
}

interface Start {
  program: string
  args: string[]
  dir: string
  name: string
  address: Address
}

async function start({ program, args, dir, name, address }: Start): Promise<NbdServer> {
  const logPath = join(dir, `${name}.log`)
  const daemon = await startDaemon({ program, args, logPath, ready: address.ready })
  return { uri: address.uri(''), pid: daemon.pid, stop: daemon.stop }
}

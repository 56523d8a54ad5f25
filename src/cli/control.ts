/**
 * A unix socket in the data directory by which `atoll status` asks the running server. Only who can enter the directory
 * (mode 0700) reaches it; it answers questions and changes nothing.
 */

import { chmodSync, closeSync, openSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { basename, dirname } from 'node:path'
import type { ScrubReport } from '../core/scrub.js'
import type { Store } from '../core/store.js'
import { formatHostPort, type TlsMode } from '../lib/addresses.js'
import { asError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'
import type { NbdTls, NbdTlsReport } from './nbd_tls.js'
import type { Doors } from './serve.js'
import { version } from './version.js'

export interface StatusReport {
  version: string
  process: number
  data: string
  /** null: it is off. */
  http: string | null
  nbd: string[]
  /** Of the addresses in `nbd`, in the same order. */
  nbdTls: TlsMode[]
  /** null: no listener has TLS. */
  tls: NbdTlsReport | null
  /** Milliseconds since 1970. */
  startedAt: number
  engine: ReturnType<Store['engine']['info']>
  counters: ReturnType<Store['engine']['counters']>
  /** NBD exports: by id at the operator's door, by VOLUME/ATTACHMENT at the tenants': an attachment's export name is a secret. */
  exports: ReturnType<Store['engine']['exportCounters']>
  /** Layers that wait to be given back. */
  reaperBacklog: number
  scrub: ScrubReport
  counts: Record<string, number>
}

export interface ControlServer {
  close(): Promise<void>
}

interface ControlParts {
  store: Store
  doors: Doors
  tls: NbdTls | undefined
  startedAt: number
  log: Logger
}

/**
 * Names a socket by its folder's descriptor: the kernel takes 107 bytes for the path of a socket, and a data directory may lie deeper
 * (libuv would cut the path off and use another file). The name is good until `close`.
 */
function shortName(socketPath: string): { path: string; close: () => void } {
  const folder = openSync(dirname(socketPath), 'r')
  return { path: `/proc/self/fd/${folder}/${basename(socketPath)}`, close: () => closeSync(folder) }
}

export async function listenForControl(parts: ControlParts): Promise<ControlServer> {
  const { path, close } = shortName(parts.store.directory.controlSocket)
  // We hold the directory's lock: a socket that is there is of a server that was killed.
  rmSync(path, { force: true })
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/status') return void response.writeHead(404).end()
    report(parts).then(
      (status) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status)),
      (error) => response.writeHead(500).end(asError(error).message),
    )
  })
  await new Promise<void>((resolve) => {
    server.once('error', (error) => {
      // The server is of use without it.
      parts.log.warn({ err: error, path: parts.store.directory.controlSocket }, 'atoll status will not work')
      resolve()
    })
    server.listen(path, () => {
      chmodSync(path, 0o600)
      resolve()
    })
  })
  return {
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      close()
    },
  }
}

async function report({ store, doors, tls, startedAt }: ControlParts): Promise<StatusReport> {
  const { core, engine, catalog, directory } = store
  const counts: Record<string, number> = {}
  for (const table of ['objects', 'images', 'volumes', 'snapshots', 'attachments', 'resources', 'layers'] as const) {
    const row = await catalog.db
      .selectFrom(table)
      .select((e) => e.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow()
    counts[table] = Number(row.count)
  }
  return {
    version,
    process: process.pid,
    data: directory.path,
    http: doors.http ? formatHostPort(doors.http) : null,
    nbd: doors.nbd,
    nbdTls: doors.nbdTls,
    tls: tls?.report() ?? null,
    startedAt,
    engine: engine.info(),
    counters: engine.counters(),
    exports: engine.exportCounters(),
    reaperBacklog: core.reaper.backlog,
    scrub: core.scrub.report(),
    counts,
  }
}

/** undefined: nobody answers. */
export async function askForStatus(socketPath: string): Promise<StatusReport | undefined> {
  const { path, close } = shortName(socketPath)
  return ask(path).finally(close)
}

function ask(socketPath: string): Promise<StatusReport | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path: '/status', timeout: 10_000 }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString()
        if (response.statusCode === 200) resolve(JSON.parse(text))
        else reject(new Error(`the server answers: ${text}`))
      })
    })
    asking.on('timeout', () => asking.destroy(new Error('the server does not answer')))
    asking.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined)
      else reject(error)
    })
    asking.end()
  })
}

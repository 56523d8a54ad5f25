/**
 * A unix socket in the data directory by which `atoll status` and `atoll reconnect` talk to the running server, in HTTP.
 *
 *   GET /status        the state of the server (StatusReport)
 *   POST /reconnect    {"volume": ID or unique name}: ends the volume's NBD connections (Reconnected)
 *
 * Operations that change state accept only POST. There is no other authorization: the socket has mode 0600 and lies in the data
 * directory (mode 0700), so that only the server's own user and root reach it. Errors are {"code", "message"}.
 */

import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Reconnected } from '../core/exports/exports.js'
import type { ScrubReport } from '../core/health/scrub.js'
import type { Store } from '../core/store.js'
import { owners } from '../core/tree/owners.js'
import { formatHostPort, type TlsMode } from '../lib/addresses.js'
import { AtollError, asError, defineError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'
import { shortName } from './control_client.js'
import type { HttpTls } from './http_tls.js'
import type { NbdTls, NbdTlsReport } from './nbd_tls.js'
import type { Doors } from './serving.js'
import type { TlsFilesReport } from './tls_files.js'
import { version } from '../lib/version.js'

export interface StatusReport {
  version: string
  process: number
  data: string
  /** null: it is off. */
  http: string | null
  nbd: string[]
  /** Of the addresses in `nbd`, in the same order. */
  nbdTls: TlsMode[]
  /** null: they are off. */
  metrics: string | null
  /** null: no NBD listener has TLS. */
  tls: NbdTlsReport | null
  /** null: HTTP has no TLS. */
  httpTls: TlsFilesReport | null
  /** Milliseconds since 1970. */
  startedAt: number
  engine: ReturnType<Store['engine']['info']>
  counters: ReturnType<Store['engine']['counters']>
  /** NBD exports: by id at the operator's door, by VOLUME/ATTACHMENT at the tenants': an attachment's export name is a secret. */
  exports: ReturnType<Store['engine']['nbd']['exportCounters']>
  /** Layers that wait to be given back. */
  reaperBacklog: number
  scrub: ScrubReport
  counts: Record<string, number>
}

export const ControlUnknown = defineError('control_unknown', 404, 'the control socket does not serve %s')
export const ControlMethod = defineError('control_method', 405, '%s requires the method %s, got %s')
export const ControlInvalid = defineError('control_invalid', 400, 'expected the request body to be %s, got %s')

/** A name has 255 characters, each of at most 12 bytes in JSON. */
const bodyBytesMax = 16 << 10

export interface ControlServer {
  close(): Promise<void>
}

interface ControlParts {
  store: Store
  doors: Doors
  tls: NbdTls | undefined
  httpTls: HttpTls | undefined
  startedAt: number
  log: Logger
}

export async function listenForControl(parts: ControlParts): Promise<ControlServer> {
  const { path, close } = shortName(parts.store.directory.controlSocket)
  // We hold the directory's lock: a socket that is there is of a server that was killed.
  rmSync(path, { force: true })
  const underWay = new Set<Promise<void>>()
  const server = createServer((request, response) => {
    const answering = answer(parts, request, response).finally(() => underWay.delete(answering))
    underWay.add(answering)
  })
  await new Promise<void>((resolve) => {
    server.once('error', (error) => {
      // The server is of use without it.
      parts.log.warn(
        { err: error, path: parts.store.directory.controlSocket },
        'atoll status and atoll reconnect will not work',
      )
      resolve()
    })
    server.listen(path, () => {
      chmodSync(path, 0o600)
      resolve()
    })
  })
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await Promise.all([closed, ...underWay]) // the store that they use is closed next
      close()
    },
  }
}

/** Never rejects. */
async function answer(parts: ControlParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, body: object) => {
    const text = JSON.stringify(body)
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(text)
  }
  const { method = '', url = '' } = request
  try {
    const operation = operations.get(url)
    if (operation === undefined) throw new ControlUnknown(url)
    if (method !== operation.method) throw new ControlMethod(url, operation.method, method)
    send(200, await operation.work(parts, request))
  } catch (error) {
    if (error instanceof AtollError) return void send(error.status, { code: error.code, message: error.message })
    // A client that left is no failure. (The request itself counts as destroyed once its body has been read.)
    if (!response.destroyed) parts.log.error({ err: asError(error), url }, 'a control request failed')
    send(500, { code: 'internal', message: asError(error).message })
  }
}

interface Operation {
  method: 'GET' | 'POST'
  /** The answer, as JSON. */
  work(parts: ControlParts, request: IncomingMessage): Promise<object>
}

const operations = new Map<string, Operation>([
  ['/status', { method: 'GET', work: report }],
  ['/reconnect', { method: 'POST', work: reconnect }],
])

async function reconnect({ store }: ControlParts, request: IncomingMessage): Promise<Reconnected> {
  return store.core.exports.reconnect(volumeIn(await bodyOf(request)))
}

/** Throws ControlInvalid. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  // The request is not destroyed when its body is too long, so that the error response still reaches the client.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > bodyBytesMax) throw new ControlInvalid(`at most ${bodyBytesMax} bytes`, 'more')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}

/** Throws ControlInvalid. */
function volumeIn(body: string): string {
  let given: unknown
  try {
    given = JSON.parse(body)
  } catch {
    given = undefined
  }
  const volume = typeof given === 'object' && given !== null && 'volume' in given ? given.volume : undefined
  if (typeof volume !== 'string') throw new ControlInvalid('{"volume": ID or name}', JSON.stringify(body.slice(0, 80)))
  return volume
}

async function report({ store, doors, tls, httpTls, startedAt }: ControlParts): Promise<StatusReport> {
  const { core, engine, catalog, directory } = store
  const counts: Record<string, number> = {}
  for (const table of [...owners.map((owner) => owner.table), 'attachments', 'resources', 'layers'] as const) {
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
    metrics: doors.metrics ? formatHostPort(doors.metrics) : null,
    tls: tls?.report() ?? null,
    httpTls: httpTls?.report() ?? null,
    startedAt,
    engine: engine.info(),
    counters: engine.counters(),
    exports: engine.nbd.exportCounters(),
    reaperBacklog: core.reaper.backlog,
    scrub: core.scrub.report(),
    counts,
  }
}

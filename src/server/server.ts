/** `atoll serve`: a data directory, the doors over it, and an end in order. */

import { hostname } from 'node:os'
import { ensureAdmin } from '../core/identity/admin.js'
import { openStore, type Store } from '../core/store.js'
import { createApp } from '../http/app.js'
import { Readiness } from '../http/shared/readiness.js'
import {
  boundTo,
  formatHostPort,
  formatListenAddress,
  type HostPort,
  parseHostPort,
  reachable,
} from '../lib/addresses.js'
import { type Given, resolveSettings } from './settings/settings.js'
import type { ServeSettings } from './settings/table.js'
import { asError, defineError } from '../lib/errors.js'
import { createLogger, type Logger } from '../lib/log.js'
import { takeActivation } from './activation.js'
import { type ControlServer, listenForControl } from './control.js'
import { limitsOf } from './limits.js'
import { greeting } from './greeting.js'
import { HttpTls, judgeHttp } from './http_tls.js'
import { Metrics } from './metrics/metrics.js'
import { judgeNbd, NbdTls, tlsModeOf } from './nbd_tls.js'
import { print } from '../lib/printing.js'
import type { Doors, Server } from './serving.js'
import { ServiceManager } from './service_manager.js'
import { version } from '../lib/version.js'

export const CannotListen = defineError('cannot_listen', 500, 'cannot listen on %s: %s')

/** Fastify's instance; only the http floor knows it as such. */
type App = Awaited<ReturnType<typeof createApp>>

export async function serve(flags: Given, configPath: string | undefined): Promise<void> {
  const manager = ServiceManager.take(process.env)
  const { activation, warnings } = takeActivation(process.env, process.pid)
  const given = resolveSettings(flags, process.env, configPath, activation !== undefined)
  const nbd = [...(activation?.nbd ?? []), ...given.nbd]
  const settings = { ...given, http: activation?.http ?? given.http, nbd }
  judgeNbd(settings)
  warnings.push(...judgeHttp(settings))
  const pretty = settings.log === 'pretty' || (settings.log === 'auto' && process.stdout.isTTY)
  const log = createLogger({ level: settings.logLevel, pretty })
  for (const warning of warnings) log.warn(warning)
  manager.tell({ status: `opening ${settings.data}` }, log)
  const server = await start(settings, log)
  endInOrder(server, manager, log)
  manager.tell({ ready: true, status: serving(server) }, log)
  // The words are for people; in JSON logs they would only be in the way of programs.
  if (pretty && settings.logLevel !== 'silent') print(greeting(server))
}

const dayMs = 24 * 3600_000

/** Throws what hinders it; everything that was opened by then is closed again. */
export async function start(settings: ServeSettings, log: Logger): Promise<Server> {
  const { data, cache, io, reactors, busyPoll: busyPollMicroseconds, spaceReserve: spaceReserveBytes } = settings
  const startedAt = Date.now()
  const { httpLimits, nbdLimits } = limitsOf(settings, log)
  const readiness = new Readiness()
  const scrub = { bytesPerSecond: settings.scrubRate, intervalMs: settings.scrubInterval * dayMs }
  const engine = { cache, io, reactors, busyPollMicroseconds, nbdLimits }
  const store = await openStore({
    dataDir: data,
    catalog: settings.catalog,
    log,
    ...engine,
    scrub,
    guard: false,
    spaceReserveBytes,
  })
  let app: App | undefined
  let control: ControlServer | undefined
  let tls: NbdTls | undefined
  let httpTls: HttpTls | undefined
  let metrics: Metrics | undefined
  const close = async () => {
    readiness.closing()
    await tls?.close()
    await httpTls?.close()
    await control?.close()
    await app?.close()
    await metrics?.close()
    await store.close()
  }
  try {
    const { core, engine, directory } = store
    tls = await NbdTls.start(settings, engine, log)
    const nbd: string[] = []
    for (const address of settings.nbd) nbd.push(await listenNbd(store, settings, address, tls))
    const nbdTls = settings.nbd.map((address) => tlsModeOf(address, settings))
    const { publicUrl, trustProxy } = settings
    httpTls = settings.http && (await HttpTls.start(settings, log))
    const urls = { publicUrl, trustProxy }
    metrics = settings.metrics && new Metrics(store, log)
    const onAnswer = metrics?.onAnswer
    app = await createApp({ core, log, urls, limits: httpLimits, tls: httpTls?.material, readiness, onAnswer })
    httpTls?.serve(app.server)
    const httpScheme = httpTls ? 'https' : 'http'
    const http = settings.http && (await listenHttp(app, settings.http))
    // Without HTTP now: where a later start has it by default.
    const reached = reachable(http ?? { host: '127.0.0.1', port: 8780 }, '127.0.0.1')
    const authUrl = `${publicUrl ?? `${httpScheme}://${formatHostPort(reached)}`}/v3`
    const admin = await ensureAdmin(core, { openrc: directory.openrc, authUrl })
    const metricsAt = metrics && settings.metrics && (await listenMetrics(metrics, settings.metrics))
    const doors: Doors = { http, httpScheme, nbd, nbdTls, metrics: metricsAt }
    control = await listenForControl({ store, doors, tls, httpTls, startedAt, log })
    core.startBackground()
    // In one turn of the event loop: whoever finds the file can log in, and whoever is told "OK" finds the file.
    admin.publish()
    readiness.ready()
    const { io: way } = engine.info()
    log.info(
      {
        version,
        data: directory.path,
        http: http && formatHostPort(http),
        httpTls: httpTls !== undefined,
        nbd,
        metrics: metricsAt && formatHostPort(metricsAt),
        io: way,
        cache,
        ms: Date.now() - startedAt,
      },
      'serving',
    )
    return { settings, store, doors, firstStart: admin.isNew, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Throws CannotListen for whatever `listen` throws. */
async function listening<T>(address: string, listen: () => Promise<T>): Promise<T> {
  try {
    return await listen()
  } catch (error) {
    throw new CannotListen(address, asError(error).message, { cause: error })
  }
}

function listenNbd(
  { core, engine }: Store,
  settings: ServeSettings,
  address: ServeSettings['nbd'][number],
  tls: NbdTls | undefined,
): Promise<string> {
  const asked = formatListenAddress(address)
  const mode = tlsModeOf(address, settings)
  const where = { address: asked, inherited: address.fd, tls: mode }
  return listening(asked, async () => {
    if (address.kind === 'unix') return engine.nbd.listen({ ...where, door: 'operator', mode: 0o600 })
    const bound = await engine.nbd.listen({ ...where, door: 'tenant' })
    core.exports.tenantAddress ??= {
      ...(settings.nbdPublic ?? reachable(parseHostPort(bound), hostname())),
      tls: tls?.forTenants(mode),
    }
    return bound
  })
}

async function listenHttp(app: App, address: HostPort & { fd?: number }): Promise<HostPort> {
  // Fastify hands on what Node takes, and has no type for the descriptor.
  const where = { host: address.host, port: address.port, fd: address.fd }
  await listening(formatHostPort(address), () => app.listen(where))
  return boundTo(app.server, address)
}

function listenMetrics(metrics: Metrics, address: HostPort): Promise<HostPort> {
  return listening(formatHostPort(address), () => metrics.listen(address))
}

function serving({ doors: { http, httpScheme, nbd } }: Server): string {
  return `serving ${httpScheme.toUpperCase()} at ${http ? formatHostPort(http) : 'no address'}, NBD at ${nbd.join(', ') || 'no address'}`
}

function endInOrder(server: Server, manager: ServiceManager, log: Logger): void {
  let ending = false
  const end = (signal: NodeJS.Signals) => {
    if (ending) {
      log.warn({ signal }, 'ending at once')
      process.exit(1)
    }
    ending = true
    log.info({ signal }, 'shutting down; once more to end at once')
    manager.tell({ stopping: true, status: 'answering what is in flight, and closing the store' }, log)
    server.close().then(
      () => {
        log.info('ended')
        process.exit(0)
      },
      (error) => {
        log.fatal({ err: asError(error) }, 'the shutdown failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', end)
  process.on('SIGTERM', end)
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      // Something is broken that nobody expected: better to stop, and start from what is durable.
      log.fatal({ err: asError(error) }, 'internal error; the server ends')
      process.exit(1)
    })
  }
}

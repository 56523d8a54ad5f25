/**
 * The HTTP server: all APIs on one port.
 *
 *   /v3 and / identity · /v1, /info, /auth/v1.0 object storage · /image images · /volume block storage · /healthcheck
 *
 * This file only puts things together. Each API is an encapsulated plugin (`Api`, shared/api.ts) with its own error format; what
 * they have in common is in shared/.
 *
 * Hooks that run for every request call `done` unless they wait for something: a promise costs each request a turn of the loop.
 *
 * To add an API: export an `Api` from apis/<name>/plugin.ts and add it to `apis`. Its handlers find `request.caller`, call
 * `requireProject(request)` where a project is needed, and read bodies by `readJson` or `uploads.receive`. Its error handler formats
 * what `describeError` returns.
 */

import type { Server } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import type { Core } from '../core/core.js'
import { defaultHttpLimits } from '../lib/default_limits.js'
import type { Logger } from '../lib/log.js'
import { trustNobody } from '../lib/trusted_proxies.js'
import { cinder } from './apis/cinder/plugin.js'
import { glance } from './apis/glance/plugin.js'
import { keystone } from './apis/keystone/plugin.js'
import { swift } from './apis/swift/plugin.js'
import type { Call } from './shared/access_rules.js'
import { type Api, type ApiOptions, apiOf } from './shared/api.js'
import { type AnswerReport, reportAnswers } from './shared/answer_reports.js'
import { addAuthentication } from './shared/auth.js'
import type { UrlSettings } from './shared/base_url.js'
import { limitConnections, shareOfClient } from './shared/connections.js'
import { ErrorForms } from './shared/error_forms.js'
import { shareFairly } from './shared/fairness.js'
import { Logins } from './shared/logins.js'
import { answerMissingRoutes } from './shared/missing_routes.js'
import { parserErrorHandler, refuseTunnels } from './shared/parser_errors.js'
import { requireProtocol } from './shared/protocol.js'
import { parseQuery } from './shared/query.js'
import { addHealthcheck, Readiness } from './shared/readiness.js'
import { newRequestId } from './shared/request_id.js'
import { logRequests } from './shared/request_log.js'
import { keepRequestsInOrder } from './shared/request_order.js'
import { cutStalledConnections } from './shared/stalled.js'
import { handleUnreadBodies } from './shared/unread_body.js'
import { limitUploads } from './shared/uploads.js'
import { waitForHandlers } from './shared/work_in_flight.js'

/** A request belongs to the first that owns its path. What none owns is refused in the form of the last. */
const apis: readonly Api[] = [swift, glance, cinder, keystone]

export interface HttpLimits {
  /** Open at one time (connections.ts). */
  connections: number
  /** Open at one time from one client address (default: a quarter of all). */
  connectionsOfClient?: number | undefined
  /** Running at one time (uploads.ts). */
  uploads: number
  /** The lowest rate of an upload, in bytes per second (0 = any). */
  uploadRate: number
  /** How long a client may send nothing while bytes are expected from it. */
  idleMs: number
  /** Memory for responses that clients have not read, and for JSON bodies (fairness.ts). */
  answerBytes: number
  bodyBytes: number
}

const defaultLimits: HttpLimits = {
  connections: defaultHttpLimits.connections,
  uploads: defaultHttpLimits.uploads,
  uploadRate: defaultHttpLimits.uploadBytesPerSecondMin,
  idleMs: 1000 * defaultHttpLimits.idleSeconds,
  answerBytes: 64 << 20,
  bodyBytes: 64 << 20,
}

export interface AppOptions {
  core: Core
  log: Logger
  urls?: UrlSettings
  /** Default: ready at once. */
  readiness?: Readiness
  limits?: Partial<HttpLimits>
  /** Called for each request that was answered, or whose client left. For metrics. */
  onAnswer?: ((report: AnswerReport) => void) | undefined
  /** PEM. If given, the server speaks HTTPS only. */
  tls?: { cert: string; key: string } | undefined
  /** How long a client may take to send the headers of a request. */
  headersMs?: number
  /** How long `close()` waits for responses under way. */
  closeGraceMs?: number
}

// An object's name may be 1024 bytes (3 KiB percent-encoded), its metadata 4 KiB, and there are a dozen other headers.
const headerBytesMax = 32 << 10
const keepAliveMs = 65_000

/** Creates the server, ready to `listen`. `close()` accepts no new connections and lets responses under way finish. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { core, log, urls = {}, tls, headersMs = 20_000, closeGraceMs = 10_000 } = options
  const readiness = options.readiness ?? Readiness.now()
  const limits = { ...defaultLimits, ...options.limits }
  const forms = new ErrorForms(apis)
  // Node checks the time of headers at intervals only.
  const ofNode = {
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersMs,
    connectionsCheckingInterval: headersMs / 4,
    requireHostHeader: false, // protocol.ts does it
  }
  const app: FastifyInstance = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }), // request_log.ts does it
    genReqId: (request) => newRequestId(apis, request),
    requestIdHeader: false,
    trustProxy: urls.trustProxy ?? false,
    ...(tls ? { https: { ...ofNode, ...tls, handshakeTimeout: headersMs } } : { http: ofNode }),
    // An upload takes as long as it takes; uploads.ts and stalled.ts end the ones that hardly move.
    requestTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4096, ignoreTrailingSlash: true, querystringParser: parseQuery },
    rewriteUrl: ({ url = '/' }) => apiOf(apis, url).routedUrl?.(url) ?? url,
    return503OnClosing: false, // protocol.ts does it
    frameworkErrors: (error, request, reply) => void forms.send(error, request, reply),
    clientErrorHandler: parserErrorHandler(forms),
  })

  keepRequestsInOrder(app)
  refuseTunnels(app, forms)
  takeBodiesAsStreams(app)
  waitForHandlers(app)
  ;(app.server as Server).maxHeadersCount = 0 // bounded by bytes; a count would drop headers in silence
  limitConnections(app, {
    total: limits.connections,
    ofClient: limits.connectionsOfClient ?? shareOfClient(limits.connections),
    trusts: urls.trustProxy ?? trustNobody,
  })
  handleUnreadBodies(app)
  cutStalledConnections(app, limits.idleMs)
  limitUploads(app, { count: limits.uploads, bytesPerSecond: limits.uploadRate, idleMs: limits.idleMs })
  shareFairly(app, limits)
  logRequests(app)
  if (options.onAnswer) reportAnswers(app, apis, options.onAnswer)
  endSlowCloses(app, closeGraceMs)

  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-openstack-request-id', request.id)
    done()
  })
  requireProtocol(app)
  addHealthcheck(app, core, readiness)
  addAuthentication(app, core, callOf)
  answerMissingRoutes(app)

  app.setErrorHandler((error, request, reply) => forms.send(error, request, reply))

  const api: ApiOptions = { core, urls, logins: new Logins(core) }
  for (const { plugin, prefix } of apis) await app.register(plugin, { ...api, ...(prefix !== undefined && { prefix }) })
  return app
}

function callOf({ method, originalUrl }: FastifyRequest): Call {
  const { services, prefix = '' } = apiOf(apis, originalUrl)
  const [path = ''] = originalUrl.split('?')
  return { services, method, path: path.slice(prefix.length) }
}

/**
 * Tells Fastify that no method has a body, so that none is read before a handler asks for it and no Content-Type is validated:
 * clients send `application/octet-stream` on requests without a body, and object storage accepts any type.
 */
function takeBodiesAsStreams(app: FastifyInstance): void {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'COPY']) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
}

/** On close, ends the connections whose responses have not finished after the grace period. */
function endSlowCloses(app: FastifyInstance, graceMs: number): void {
  let timer: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => {
    timer = setTimeout(() => (app.server as Server).closeAllConnections(), graceMs)
  })
  app.addHook('onClose', async () => clearTimeout(timer))
}

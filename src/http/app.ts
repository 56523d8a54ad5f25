/**
 * One HTTP server for all APIs on one port.
 *
 *   /v3 identity (and GET /) · /auth/v1.0, /v1, /info object storage · /image Glance · /volume Cinder · /healthcheck
 *
 * Each API is an encapsulated plugin with its own error handler, not-found answer and format of errors. What they share
 * lies beside this file: auth.ts (who calls), base_url.ts, body.ts (bodies; none is read for a handler that does not ask),
 * uploads.ts (those without end), request_id.ts, errors.ts, query.ts, fairness.ts and pieces.ts (what one tenant may take), work_in_flight.ts (what must end before the server does).
 *
 * Hooks of every request call `done` unless they wait for something: a promise costs each of them a turn.
 *
 * To add an API: a plugin with `ApiOptions`, registered in `createApp`. It finds `request.caller`, calls
 * `requireProject(request)` where a project is needed, reads bodies by `readJson` or `uploads.receive`, and sets an error
 * handler that formats what `describeError` says.
 */

import type { Server } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Core } from '../core/core.js'
import { defaultHttpLimits } from '../lib/default_limits.js'
import type { Logger } from '../lib/log.js'
import { trustNobody } from '../lib/trusted_proxies.js'
import { cinder } from './apis/cinder/plugin.js'
import { glance } from './apis/glance/plugin.js'
import { identity } from './apis/keystone/plugin.js'
import { swift } from './apis/swift/plugin.js'
import { answerMissingRoutes, sendErrorByPath } from './missing_routes.js'
import { answerParserError, refuseTunnels } from './parser_errors.js'
import type { ApiOptions } from './shared/api.js'
import { addAuthentication } from './shared/auth.js'
import type { UrlSettings } from './shared/base_url.js'
import { limitConnections, shareOfClient } from './shared/connections.js'
import { shareFairly } from './shared/fairness.js'
import { Logins } from './shared/logins.js'
import { requireProtocol } from './shared/protocol.js'
import { parseQuery } from './shared/query.js'
import { addHealthcheck, Readiness } from './shared/readiness.js'
import { newRequestId } from './shared/request_id.js'
import { logRequests } from './shared/request_log.js'
import { keepRequestsInOrder } from './shared/request_order.js'
import { routedUrl } from './shared/routed_url.js'
import { cutStalledConnections } from './shared/stalled.js'
import { handleUnreadBodies } from './shared/unread_body.js'
import { limitUploads } from './shared/uploads.js'
import { waitForHandlers } from './shared/work_in_flight.js'

export interface HttpLimits {
  /** At one time: connections.ts. */
  connections: number
  /** Of one client address; default: a quarter of all. */
  connectionsOfClient?: number | undefined
  /** At one time: uploads.ts. */
  uploads: number
  /** Of an upload, in bytes a second; 0: any rate will do. */
  uploadRate: number
  /** After how long without a byte a client that owes us some is cut off. */
  idleMs: number
  /** Memory for answers that have not been read, and for JSON bodies: fairness.ts. */
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
  /** Default: the server is ready at once. */
  readiness?: Readiness
  limits?: Partial<HttpLimits>
  /** PEM. Given: HTTPS, and no plain HTTP. */
  tls?: { cert: string; key: string } | undefined
  /** How long a client may take to send the headers of a request. */
  headersMs?: number
  /** How long `close()` waits for requests that are being answered. */
  closeGraceMs?: number
}

// An object's name may be 1024 bytes (3 KiB percent-encoded), its metadata 4 KiB, and there are a dozen other headers.
const headerBytesMax = 32 << 10
const keepAliveMs = 65_000

/** The server, ready to `listen`. `close()` ends it in order: no new connections, answers under way may finish. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { core, log, urls = {}, tls, headersMs = 20_000, closeGraceMs = 10_000 } = options
  const readiness = options.readiness ?? Readiness.now()
  const limits = { ...defaultLimits, ...options.limits }
  // Node looks at the clock of the headers only so often.
  const ofNode = {
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersMs,
    connectionsCheckingInterval: headersMs / 4,
    requireHostHeader: false, // protocol.ts does it
  }
  const app: FastifyInstance = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }), // request_log.ts does it
    genReqId: newRequestId,
    requestIdHeader: false,
    trustProxy: urls.trustProxy ?? false,
    ...(tls ? { https: { ...ofNode, ...tls, handshakeTimeout: headersMs } } : { http: ofNode }),
    // An upload takes as long as it takes; uploads.ts and stalled.ts end the ones that hardly move.
    requestTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 4096, ignoreTrailingSlash: true, querystringParser: parseQuery },
    rewriteUrl: (request) => routedUrl(request.url ?? '/'),
    return503OnClosing: false, // protocol.ts does it
    frameworkErrors: (error, request, reply) => void sendErrorByPath(error, request, reply),
    clientErrorHandler: answerParserError,
  })

  keepRequestsInOrder(app)
  refuseTunnels(app)
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
  endSlowCloses(app, closeGraceMs)

  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-openstack-request-id', request.id)
    done()
  })
  requireProtocol(app)
  addHealthcheck(app, core, readiness)
  addAuthentication(app, core)
  answerMissingRoutes(app)

  app.setErrorHandler(sendErrorByPath)

  const api: ApiOptions = { core, urls, logins: new Logins(core) }
  await app.register(identity, api)
  await app.register(swift, api)
  await app.register(glance, { ...api, prefix: '/image' })
  await app.register(cinder, { ...api, prefix: '/volume' })
  return app
}

/**
 * No body is read before a handler asks for it, and no Content-Type is judged: clients send `application/octet-stream`
 * on bodyless requests, and object storage takes any type. For Fastify, then, no method has a body.
 */
function takeBodiesAsStreams(app: FastifyInstance): void {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'COPY']) {
    app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
}

/** What is being answered when the server closes may finish, for a while. */
function endSlowCloses(app: FastifyInstance, graceMs: number): void {
  let timer: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => {
    timer = setTimeout(() => (app.server as Server).closeAllConnections(), graceMs)
  })
  app.addHook('onClose', async () => clearTimeout(timer))
}

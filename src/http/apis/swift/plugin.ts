/** The object storage API (OpenStack Swift, v1). */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../core/core.js'
import type { Need } from '../../../core/objects/access.js'
import type { Api, ApiOptions } from '../../shared/api.js'
import { baseUrl } from '../../shared/base_url.js'
import { queryParameter } from '../../shared/query.js'
import { renderSwiftError, SwiftError, swiftErrorHandler } from './errors.js'
import { newTransactionId } from './request_id.js'
import { parsePath, type SwiftPath } from './requests/path.js'
import type { AccountTarget, ContainerTarget, ObjectTarget } from './requests/target.js'
import { callerAt, targetOf } from './requests/target.js'
import { tempUrlOf } from './requests/temp_url.js'
import { showSigned } from './responses/temp_url.js'
import { getAccount, headAccount, postAccount } from './routes/account.js'
import { deleteContainer, getContainer, headContainer, postContainer, putContainer } from './routes/container.js'
import { addCorsHeaders, answerOptions } from './routes/cors.js'
import { addCrossDomainPolicy } from './routes/cross_domain.js'
import { bulkDelete } from './routes/bulk_delete.js'
import { addInfo } from './routes/info.js'
import { addLogin } from './routes/login.js'
import { deleteObject, postObject } from './routes/object_change.js'
import { copyObject } from './routes/object_copy.js'
import { getObject, headObject } from './routes/object_get.js'
import { putObject } from './routes/object_put.js'
import { mayBeWebVisit, visitWebSite } from './routes/static_web.js'
import { refuseUnsupported } from './unsupported.js'
import { isObjectStorage, routedUrl } from './urls.js'

type Handler<T> = (core: Core, target: T, request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>
type Methods<T> = Readonly<Record<string, Handler<T>>>

const account: Methods<AccountTarget> = { GET: getAccount, HEAD: headAccount, POST: postAccount }
const container: Methods<ContainerTarget> = {
  GET: getContainer,
  HEAD: headContainer,
  PUT: putContainer,
  POST: postContainer,
  DELETE: deleteContainer,
}
const object: Methods<ObjectTarget> = {
  GET: getObject,
  HEAD: headObject,
  PUT: putObject,
  POST: postObject,
  DELETE: deleteObject,
  COPY: copyObject,
}

export const swift: Api = {
  name: 'swift',
  plugin,
  services: ['object-store'],
  owns: isObjectStorage,
  renderError: ({ status, message }) => renderSwiftError(status, message),
  newRequestId: newTransactionId,
  routedUrl,
}

async function plugin(app: FastifyInstance, options: ApiOptions): Promise<void> {
  app.setErrorHandler(swiftErrorHandler)
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-trans-id', request.id)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    // Node writes the head and a body that is a string as one text in UTF-8, and would encode the bytes of headers again.
    const body = typeof payload === 'string' && payload !== '' ? Buffer.from(payload) : payload
    if (request.headers.origin === undefined && tempUrlOf(request) === undefined) return done(null, body)
    complete(options.core, request, reply).then(() => done(null, body), done)
  })
  addInfo(app)
  addCrossDomainPolicy(app)
  addLogin(app, options)
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY', 'OPTIONS', 'PATCH'],
    // urls.ts routes every account, container and object here.
    url: '/v1/path',
    exposeHeadRoute: false,
    handler: (request, reply) => serve(options, request, reply),
  })
}

async function serve({ core, urls }: ApiOptions, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const path = parsePath(request.originalUrl)
  if (request.method === 'OPTIONS') return answerOptions(core, path, allowedAt(path), request, reply)
  if (mayBeWebVisit(request, path)) {
    const allowed = (need: Need) => callerAt(core, request, path, need)
    const visit = await visitWebSite(core, path as SwiftPath & { container: string }, request, reply, {
      allowed,
      origin: baseUrl(request, urls),
    })
    if (visit !== undefined) return visit
  }
  return serveApi(core, path, request, reply)
}

async function serveApi(
  core: Core,
  path: SwiftPath,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (queryParameter(request, 'bulk-delete') !== undefined && /^(POST|DELETE)$/.test(request.method)) {
    return bulkDelete(core, path.account, request, reply)
  }
  // Strangers learn nothing of a path, not even its methods.
  if (request.caller !== null) requireMethod(path, request)
  const { kind, target } = await targetOf(core, request, path)
  refuseUnsupported(request)
  if (kind === 'account') return handlerOf(account, request)(core, target, request, reply)
  if (kind === 'container') return handlerOf(container, request)(core, target, request, reply)
  return handlerOf(object, request)(core, target, request, reply)
}

function methodsAt(path: SwiftPath): Methods<never> {
  return path.container === undefined ? account : path.object === undefined ? container : object
}

const allowedAt = (path: SwiftPath): string[] => [...Object.keys(methodsAt(path)), 'OPTIONS']

/** Throws 405. */
function requireMethod(path: SwiftPath, request: FastifyRequest): void {
  void handlerOf(methodsAt(path), request)
}

/** What a response says beside its handler: to a page of another origin, and to the holder of a signed URL. */
async function complete(core: Core, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const signed = tempUrlOf(request)
  if (signed !== undefined) showSigned(reply, signed, parsePath(request.originalUrl).object ?? '')
  if (request.headers.origin !== undefined) await addCorsHeaders(core, request, reply)
}

function handlerOf<T>(methods: Methods<T>, request: FastifyRequest): Handler<T> {
  const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
  if (handler === undefined) throw new SwiftError(405, undefined, { allow: Object.keys(methods).join(', ') })
  return handler
}

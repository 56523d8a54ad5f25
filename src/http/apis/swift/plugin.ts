/** The object storage API (OpenStack Swift, v1). */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../core/core.js'
import type { Api, ApiOptions } from '../../shared/api.js'
import { renderSwiftError, SwiftError, swiftErrorHandler } from './errors.js'
import { newTransactionId } from './request_id.js'
import type { AccountTarget, ContainerTarget, ObjectTarget } from './requests/target.js'
import { targetOf } from './requests/target.js'
import { getAccount, headAccount, postAccount } from './routes/account.js'
import { deleteContainer, getContainer, headContainer, postContainer, putContainer } from './routes/container.js'
import { addInfo } from './routes/info.js'
import { addLogin } from './routes/login.js'
import { deleteObject, postObject } from './routes/object_change.js'
import { copyObject } from './routes/object_copy.js'
import { getObject, headObject } from './routes/object_get.js'
import { putObject } from './routes/object_put.js'
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
  addInfo(app)
  addLogin(app, options)
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY', 'OPTIONS', 'PATCH'],
    // urls.ts routes every account, container and object here.
    url: '/v1/path',
    exposeHeadRoute: false,
    handler: (request, reply) => {
      const { kind, target } = targetOf(request)
      refuseUnsupported(request)
      if (kind === 'account') return handlerOf(account, request)(options.core, target, request, reply)
      if (kind === 'container') return handlerOf(container, request)(options.core, target, request, reply)
      return handlerOf(object, request)(options.core, target, request, reply)
    },
  })
}

function handlerOf<T>(methods: Methods<T>, request: FastifyRequest): Handler<T> {
  const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
  if (handler === undefined) throw new SwiftError(405, undefined, { allow: Object.keys(methods).join(', ') })
  return handler
}

/** The object storage API (OpenStack Swift, v1). */

import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../core/core.js'
import type { ApiOptions } from '../../shared/api.js'
import { SwiftError, swiftErrorHandler } from './errors.js'
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

export const swift: FastifyPluginAsync<ApiOptions> = async (app, options) => {
  app.setErrorHandler(swiftErrorHandler)
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-trans-id', request.id)
    done()
  })
  addInfo(app)
  addLogin(app, options)
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY', 'OPTIONS', 'PATCH'],
    // Where app.ts sends every path of this API.
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

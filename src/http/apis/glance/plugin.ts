/**
 * The images API (Glance v2), mounted at `/image`. Errors have WebOb's format (errors.ts). shared/auth.ts authenticates callers;
 * core authorizes them and checks states.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Api, type ApiOptions, isBelow } from '../../shared/api.js'
import { requireCaller } from '../../shared/auth.js'
import { describeError } from '../../shared/errors.js'
import { refuseUnknownParameters } from '../../shared/parameters.js'
import { GlanceFault, renderFault } from './errors.js'
import { glanceParameters } from './requests/parameters.js'
import { dataRoutes } from './routes/data.js'
import { imageRoutes } from './routes/images.js'
import { infoRoutes } from './routes/info.js'
import { memberRoutes } from './routes/members.js'
import { schemaRoutes } from './routes/schemas.js'
import { actionRoutes, tagRoutes } from './routes/tags_and_actions.js'
import { versionRoutes } from './routes/versions.js'
import { refuseUnsupported } from './unsupported.js'

export const glance: Api = {
  name: 'glance',
  plugin,
  services: ['image'],
  prefix: '/image',
  owns: (url) => isBelow(url, '/image'),
  renderError: ({ status, message }, accept) => renderFault(status, message, accept),
}

async function plugin(app: FastifyInstance, options: ApiOptions): Promise<void> {
  app.setErrorHandler((error, request, reply) => {
    const { status, message } = describeError(error, request)
    const headers = error instanceof GlanceFault ? error.headers : {}
    return sendFault(request, reply.headers(headers), status, message)
  })

  versionRoutes(app, options.urls)
  await app.register(
    async (v2) => {
      v2.addHook('onRequest', async (request) => void requireCaller(request))
      refuseUnknownParameters(v2, glanceParameters, (url) => url.slice('/image/v2'.length))
      schemaRoutes(v2)
      imageRoutes(v2, options)
      dataRoutes(v2, options)
      tagRoutes(v2, options)
      actionRoutes(v2, options)
      memberRoutes(v2, options)
      infoRoutes(v2)
      refuseUnsupported(v2)
    },
    { prefix: '/v2' },
  )
}

function sendFault(request: FastifyRequest, reply: FastifyReply, status: number, message: string): FastifyReply {
  const { contentType, body } = renderFault(statusOf(status), message, request.headers.accept)
  if (status === 401) void reply.header('WWW-Authenticate', 'Keystone')
  return reply.code(statusOf(status)).type(contentType).send(body)
}

/** Glance has no words for a full disk: 413 is its "storage media is full". 499 is for our log; nobody is there to read it. */
function statusOf(status: number): number {
  if (status === 507) return 413
  return status === 499 ? 400 : status
}

/** One line for each answered request. Never a query (it may hold a signature), a header or a body. */

import type { FastifyInstance } from 'fastify'

export function logRequests(app: FastifyInstance): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { caller } = request
    request.log.info(
      {
        method: request.method,
        path: pathOf(request.originalUrl),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        from: request.ip,
        // Empty for a caller who is there by a signed URL or a public container.
        user: caller?.user.id || undefined,
        project: caller?.project?.id,
      },
      'request',
    )
    done()
  })
  app.addHook('onRequestAbort', async (request) => {
    request.log.info(
      { method: request.method, path: pathOf(request.originalUrl), from: request.ip },
      'client disconnected',
    )
  })
}

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

/** Refuses the routes that an API defines and Atoll does not support, in that API's own error format. */

import type { FastifyInstance, FastifyRequest, HTTPMethods } from 'fastify'
import { Unsupported } from './errors.js'

export interface UnsupportedRoute {
  methods: readonly HTTPMethods[]
  /** As Fastify routes it. */
  url: string
  /** For the message. */
  feature: string
}

/** Adds the routes. `authorize` throws if the caller may not call them; it runs first, so that strangers learn nothing. */
export function refuseRoutes(
  app: FastifyInstance,
  routes: readonly UnsupportedRoute[],
  authorize: (request: FastifyRequest) => unknown,
): void {
  for (const { methods, url, feature } of routes) {
    app.route({
      method: [...methods],
      url,
      config: { anyParameters: true },
      handler: async (request) => {
        authorize(request)
        throw new Unsupported(feature)
      },
    })
  }
}

/** What Keystone offers and Atoll does not support. Refused, so that nobody takes it for empty or done. */

import type { FastifyInstance } from 'fastify'
import { requireAdmin } from '../../shared/auth.js'
import { Unsupported } from '../../shared/errors.js'
import { refuseRoutes, type UnsupportedRoute } from '../../shared/unsupported.js'

const routes: UnsupportedRoute[] = [{ methods: ['DELETE'], url: '/projects/:id', feature: 'deleting projects' }]

export function refuseUnsupported(app: FastifyInstance): void {
  refuseRoutes(app, routes, requireAdmin)
}

/** Login methods other than password and token, several at once, and scopes other than a project. */
export function unsupportedLogin(feature: string): Error {
  return new Unsupported(feature)
}

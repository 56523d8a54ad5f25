/** What Keystone offers and Atoll does not support. Refused, so that nobody takes it for empty or done. */

import type { FastifyInstance } from 'fastify'
import { requireCaller } from '../../shared/auth.js'
import { Unsupported } from '../../shared/errors.js'
import { refuseRoutes, type UnsupportedRoute } from '../../shared/unsupported.js'

const all = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

const places = [
  { url: '/OS-TRUST', feature: 'trusts' },
  { url: '/OS-OAUTH1', feature: 'OAuth 1.0a' },
  { url: '/OS-OAUTH2', feature: 'OAuth 2.0' },
  { url: '/OS-FEDERATION', feature: 'federation' },
  { url: '/OS-EP-FILTER', feature: 'filters of endpoints by project' },
  { url: '/OS-ENDPOINT-POLICY', feature: 'policies of endpoints' },
  { url: '/OS-REVOKE', feature: 'lists of revocation events' },
  { url: '/OS-SIMPLE-CERT', feature: 'signed tokens' },
  { url: '/policies', feature: 'policies' },
  { url: '/limits', feature: 'unified limits' },
  { url: '/registered_limits', feature: 'unified limits' },
  { url: '/ec2tokens', feature: 'logging in by an EC2 signature' },
  { url: '/s3tokens', feature: 'logging in by an S3 signature' },
  { url: '/domains/config', feature: 'configurations of domains' },
  { url: '/domains/:id/config', feature: 'configurations of domains' },
  { url: '/users/:id/OS-OAUTH1', feature: 'OAuth 1.0a' },
]

const routes: UnsupportedRoute[] = places.flatMap(({ url, feature }) => [
  { methods: all, url, feature },
  { methods: all, url: `${url}/*`, feature },
])

export function refuseUnsupported(app: FastifyInstance): void {
  refuseRoutes(app, routes, requireCaller)
}

/** Login methods other than password and token, several at once, and scopes other than a project. */
export function unsupportedLogin(feature: string): Error {
  return new Unsupported(feature)
}

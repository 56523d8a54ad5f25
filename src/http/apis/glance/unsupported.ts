/** What Glance offers and Atoll does not support. Refused, so that nobody takes it for empty or done. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../../shared/auth.js'
import { refuseRoutes, type UnsupportedRoute } from '../../shared/unsupported.js'

const routes: UnsupportedRoute[] = [
  { methods: ['PUT'], url: '/images/:imageId/stage', feature: 'staging of image data' },
  { methods: ['POST'], url: '/images/:imageId/import', feature: 'import of images' },
  { methods: ['GET'], url: '/images/:imageId/tasks', feature: 'the list of tasks of an image' },
  { methods: ['DELETE'], url: '/stores/:storeId/:imageId', feature: 'deletion from a single store' },
  { methods: ['GET'], url: '/info/usage', feature: 'the usage' },
  { methods: ['GET', 'POST'], url: '/tasks', feature: 'the tasks API' },
  { methods: ['GET'], url: '/metadefs/*', feature: 'the catalogue of metadata definitions' },
  { methods: ['GET'], url: '/cache', feature: 'the image cache' },
]

export function refuseUnsupported(app: FastifyInstance): void {
  refuseRoutes(app, routes, requireProject)
}

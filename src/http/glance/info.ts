/** Discovery of stores and import methods, and the calls that this version does not serve. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../auth.js'
import { GlanceFault } from './faults.js'
import { storeId } from './image_view.js'

export function infoRoutes(app: FastifyInstance): void {
  app.get('/info/import', async (request) => {
    requireProject(request)
    return { 'import-methods': { description: 'Import methods available.', type: 'array', value: [] } }
  })
  app.get('/info/stores', async (request) => {
    requireProject(request)
    return { stores: [{ id: storeId, default: 'true', description: 'The one store of this Atoll' }] }
  })
}

const later: ['DELETE' | 'GET' | 'POST' | 'PUT', string, string][] = [
  ['PUT', '/images/:imageId/stage', 'Staging of image data'],
  ['POST', '/images/:imageId/import', 'Import of images'],
  ['GET', '/images/:imageId/tasks', 'The list of tasks of an image'],
  ['GET', '/images/:imageId/members', 'Sharing of images with members'],
  ['POST', '/images/:imageId/members', 'Sharing of images with members'],
  ['GET', '/images/:imageId/members/:memberId', 'Sharing of images with members'],
  ['PUT', '/images/:imageId/members/:memberId', 'Sharing of images with members'],
  ['DELETE', '/images/:imageId/members/:memberId', 'Sharing of images with members'],
  ['DELETE', '/stores/:storeId/:imageId', 'Deletion from a single store'],
  ['GET', '/info/usage', 'Usage'],
  ['GET', '/tasks', 'The tasks API'],
  ['POST', '/tasks', 'The tasks API'],
  ['GET', '/metadefs/*', 'The catalogue of metadata definitions'],
  ['GET', '/cache', 'The image cache'],
]

export function laterRoutes(app: FastifyInstance): void {
  for (const [method, url, what] of later) {
    app.route({
      method,
      url,
      handler: async (request) => {
        requireProject(request)
        throw new GlanceFault(501, `${what} is not served by this version of Atoll.`)
      },
    })
  }
}

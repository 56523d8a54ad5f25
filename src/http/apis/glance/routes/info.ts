/** Discovery of stores and import methods, and the calls that this version does not serve. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../../../shared/auth.js'
import { NotServed } from '../../../shared/errors.js'
import { storeId } from '../responses/image.js'

export function infoRoutes(app: FastifyInstance): void {
  app.get('/info/import', async (request) => {
    requireProject(request)
    return { 'import-methods': { description: 'import methods available.', type: 'array', value: [] } }
  })
  app.get('/info/stores', async (request) => {
    requireProject(request)
    return { stores: [{ id: storeId, default: 'true', description: 'the one store of this Atoll' }] }
  })
}

const later: ['DELETE' | 'GET' | 'POST' | 'PUT', string, string][] = [
  ['PUT', '/images/:imageId/stage', 'staging of image data'],
  ['POST', '/images/:imageId/import', 'import of images'],
  ['GET', '/images/:imageId/tasks', 'the list of tasks of an image'],
  ['GET', '/images/:imageId/members', 'sharing of images with members'],
  ['POST', '/images/:imageId/members', 'sharing of images with members'],
  ['GET', '/images/:imageId/members/:memberId', 'sharing of images with members'],
  ['PUT', '/images/:imageId/members/:memberId', 'sharing of images with members'],
  ['DELETE', '/images/:imageId/members/:memberId', 'sharing of images with members'],
  ['DELETE', '/stores/:storeId/:imageId', 'deletion from a single store'],
  ['GET', '/info/usage', 'the usage'],
  ['GET', '/tasks', 'the tasks API'],
  ['POST', '/tasks', 'the tasks API'],
  ['GET', '/metadefs/*', 'the catalogue of metadata definitions'],
  ['GET', '/cache', 'the image cache'],
]

export function laterRoutes(app: FastifyInstance): void {
  for (const [method, url, what] of later) {
    app.route({
      method,
      url,
      config: { anyParameters: true },
      handler: async (request) => {
        requireProject(request)
        throw new NotServed(what)
      },
    })
  }
}

/** Discovery of stores and import methods. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../../../shared/auth.js'
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

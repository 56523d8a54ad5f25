/** `/v2/schemas`. */

import type { FastifyInstance } from 'fastify'
import { schemaDocuments } from '../responses/schemas.js'

export function schemaRoutes(app: FastifyInstance): void {
  for (const [name, document] of Object.entries(schemaDocuments)) {
    app.get(`/schemas/${name}`, async () => document)
  }
}

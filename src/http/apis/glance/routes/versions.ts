/** Version discovery: `GET /image/` returns 300, `GET /image/versions` 200 with the same document. */

import type { FastifyInstance } from 'fastify'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { versionsDocument } from '../responses/versions.js'

export function versionRoutes(app: FastifyInstance, urls: UrlSettings): void {
  app.get('/', async (request, reply) => reply.code(300).send(versionsDocument(baseUrl(request, urls))))
  app.get('/versions', async (request) => versionsDocument(baseUrl(request, urls)))
}

/** Version discovery: `GET /volume/` returns 300, `GET /volume/v3/` 200 with the same document. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { versionsDocument } from '../responses/versions.js'

export function versionRoutes(app: FastifyInstance, urls: UrlSettings): void {
  const choices = async (request: FastifyRequest, reply: FastifyReply) =>
    reply.code(300).send(versionsDocument(baseUrl(request, urls)))
  app.get('/', choices)
  app.get('/v3', async (request) => versionsDocument(baseUrl(request, urls)))
}

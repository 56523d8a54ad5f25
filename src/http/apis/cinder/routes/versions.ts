/** Version discovery: `GET /volume/` answers 300, `GET /volume/v3/` 200 with the same document. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { maxMinor, minMinor } from '../microversion.js'

export function versionRoutes(app: FastifyInstance, urls: UrlSettings): void {
  const choices = async (request: FastifyRequest, reply: FastifyReply) =>
    reply.code(300).send(versionsDocument(request, urls))
  app.get('/', choices)
  app.get('/v3', async (request) => versionsDocument(request, urls))
}

function versionsDocument(request: FastifyRequest, urls: UrlSettings): Record<string, unknown> {
  return {
    versions: [
      {
        id: 'v3.0',
        status: 'CURRENT',
        version: `3.${maxMinor}`,
        min_version: `3.${minMinor}`,
        updated: '2022-03-30T00:00:00Z',
        links: [
          { rel: 'describedby', type: 'text/html', href: 'https://docs.openstack.org/' },
          { rel: 'self', href: `${baseUrl(request, urls)}/volume/v3/` },
        ],
        'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.volume+json;version=3' }],
      },
    ],
  }
}

/** Version discovery: `GET /image/` answers 300, `GET /image/versions` 200 with the same document. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'

/**
 * What is served, by the minor versions that stock clients know. 2.10 brought `os_hash_algo`, `os_hash_value` and
 * `os_hidden`; 2.12 and above bring task and store calls that are not here yet.
 */
const minors = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]

export function versionRoutes(app: FastifyInstance, urls: UrlSettings): void {
  app.get('/', async (request, reply) => reply.code(300).send(versionsDocument(request, urls)))
  app.get('/versions', async (request) => versionsDocument(request, urls))
}

function versionsDocument(request: FastifyRequest, urls: UrlSettings): Record<string, unknown> {
  const href = `${baseUrl(request, urls)}/image/v2/`
  return {
    versions: minors.map((minor, i) => ({
      id: `v2.${minor}`,
      status: i === 0 ? 'CURRENT' : 'SUPPORTED',
      links: [{ rel: 'self', href }],
    })),
  }
}

/** Version discovery: what a client asks first, of any URL it was given. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { baseUrl } from '../../../shared/base_url.js'

/** Of the Identity API's newest microversion-free document; clients only look at `id`, `status` and `links`. */
function versionDocument(base: string) {
  return {
    id: 'v3.14',
    status: 'stable',
    updated: '2020-04-07T00:00:00Z',
    links: [{ rel: 'self', href: `${base}/v3/` }],
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
  }
}

export function addVersions(app: FastifyInstance, { urls }: ApiOptions): void {
  app.get('/', async (request, reply) => {
    const base = baseUrl(request, urls)
    return reply
      .code(300)
      .header('location', `${base}/v3/`)
      .send({ versions: { values: [versionDocument(base)] } })
  })
  app.get('/v3', async (request) => ({ version: versionDocument(baseUrl(request, urls)) }))
}

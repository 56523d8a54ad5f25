/** The entries of the service catalog: the server's own, and those that administrators added. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { baseUrl, type UrlSettings } from '../../../shared/base_url.js'
import { builtInEntries, type Entries } from '../responses/service_catalog.js'

export async function allEntries({ identity }: Core, urls: UrlSettings, request: FastifyRequest): Promise<Entries> {
  const own = builtInEntries(baseUrl(request, urls))
  const { catalogEntries } = identity
  return {
    regions: [...own.regions, ...(await catalogEntries.regions())],
    services: [...own.services, ...(await catalogEntries.services())],
    endpoints: [...own.endpoints, ...(await catalogEntries.endpoints())],
  }
}

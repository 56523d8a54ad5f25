/** `/v3/services`, `/v3/endpoints` and `/v3/regions`: the catalog as tables, to be read only. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin } from '../../../shared/auth.js'
import { baseUrl } from '../../../shared/base_url.js'
import { filtered } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf } from '../responses/list.js'
import { region, serviceCatalog } from '../responses/service_catalog.js'

export function addCatalog(app: FastifyInstance, { urls }: ApiOptions): void {
  app.get('/services', async (request) => {
    requireAdmin(request)
    const services = serviceCatalog(baseUrl(request, urls), '$(project_id)s').map(({ id, type, name }) => ({
      id,
      type,
      name,
      enabled: true,
      description: '',
    }))
    return listOf('services', filtered(request, services, identityParameters['/services']), request, urls)
  })

  app.get('/endpoints', async (request) => {
    requireAdmin(request)
    const endpoints = serviceCatalog(baseUrl(request, urls), '$(project_id)s').flatMap((service) =>
      service.endpoints.map((point) => ({ ...point, service_id: service.id, enabled: true })),
    )
    return listOf('endpoints', filtered(request, endpoints, identityParameters['/endpoints']), request, urls)
  })

  app.get('/regions', async (request) => {
    requireAdmin(request)
    const regions = [{ id: region, description: '', parent_region_id: null }]
    return listOf('regions', filtered(request, regions, identityParameters['/regions']), request, urls)
  })
}

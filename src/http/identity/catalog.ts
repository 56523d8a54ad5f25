/** `/v3/services`, `/v3/endpoints` and `/v3/regions`: the catalog as tables, to be read only. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../api.js'
import { requireAdmin } from '../auth.js'
import { baseUrl } from '../base_url.js'
import { queryParameter } from '../query.js'
import { listOf } from './bodies.js'
import { region, serviceCatalog } from './service_catalog.js'

export function addCatalog(app: FastifyInstance, { urls }: ApiOptions): void {
  app.get('/services', async (request) => {
    requireAdmin(request)
    const [type, name] = [queryParameter(request, 'type'), queryParameter(request, 'name')]
    const services = serviceCatalog(baseUrl(request, urls), '$(project_id)s')
      .filter((service) => (type ?? service.type) === service.type && (name ?? service.name) === service.name)
      .map((service) => ({ id: service.id, type: service.type, name: service.name, enabled: true, description: '' }))
    return listOf('services', services, request, urls)
  })

  app.get('/endpoints', async (request) => {
    requireAdmin(request)
    const [serviceId, side] = [queryParameter(request, 'service_id'), queryParameter(request, 'interface')]
    const endpoints = serviceCatalog(baseUrl(request, urls), '$(project_id)s')
      .filter((service) => (serviceId ?? service.id) === service.id)
      .flatMap((service) => service.endpoints.map((point) => ({ ...point, service_id: service.id, enabled: true })))
      .filter((endpoint) => (side ?? endpoint.interface) === endpoint.interface)
    return listOf('endpoints', endpoints, request, urls)
  })

  app.get('/regions', async (request) => {
    requireAdmin(request)
    return listOf('regions', [{ id: region, description: '', parent_region_id: null }], request, urls)
  })
}

/** `/v3/services`, `/v3/endpoints` and `/v3/regions`: the service catalog. The server's own entries can be read, not changed. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Endpoint, Region, Service } from '../../../../core/model/records.js'
import { EndpointNotFound, EntryBuiltIn, RegionNotFound, ServiceNotFound } from '../../../../core/model/errors.js'
import type { ApiOptions } from '../../../shared/api.js'
import { readJsonObject } from '../../../shared/body.js'
import { MalformedBody } from '../../../shared/errors.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filtered } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf } from '../responses/list.js'
import { self } from '../responses/resources.js'
import { builtIn } from '../responses/service_catalog.js'
import { allEntries } from './entries.js'

type ById = { Params: { id: string } }

export function addCatalog(app: FastifyInstance, options: ApiOptions): void {
  addServices(app, options)
  addEndpoints(app, options)
  addRegions(app, options)
}

function addServices(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { catalogEntries } = core.identity
  const body = ({ extra, ...service }: Service, request: FastifyRequest) => ({
    ...extra,
    ...service,
    links: self(request, urls, `services/${service.id}`),
  })
  const find = async (request: FastifyRequest, id: string): Promise<Service> => {
    const found = (await allEntries(core, urls, request)).services.find((each) => each.id === id)
    if (found === undefined) throw new ServiceNotFound(id)
    return found
  }

  app.get('/services', async (request) => {
    authorize(request, 'list_services')
    const bodies = (await allEntries(core, urls, request)).services.map((each) => body(each, request))
    return listOf('services', filtered(request, bodies, identityParameters['/services']), request, urls)
  })

  app.post('/services', async (request, reply) => {
    const caller = authorize(request, 'change_services')
    const fields = fieldsOf(await readJsonObject(request), 'service')
    const wanted = { ...serviceChange(fields), type: fields.requiredText('type') }
    return reply.code(201).send({ service: body(await catalogEntries.createService(wanted, caller), request) })
  })

  app.get<ById>('/services/:id', async (request) => {
    authorize(request, 'get_service')
    return { service: body(await find(request, request.params.id), request) }
  })

  app.patch<ById>('/services/:id', async (request) => {
    const caller = authorize(request, 'change_services')
    const id = requireAdded(request.params.id, builtIn.services)
    const change = serviceChange(fieldsOf(await readJsonObject(request), 'service'))
    return { service: body(await catalogEntries.updateService(id, change, caller), request) }
  })

  app.delete<ById>('/services/:id', async (request, reply) => {
    const caller = authorize(request, 'change_services')
    await catalogEntries.deleteService(requireAdded(request.params.id, builtIn.services), caller)
    return reply.code(204).send()
  })
}

const serviceChange = (fields: Fields) => ({
  type: fields.text('type'),
  name: fields.text('name'),
  description: fields.text('description'),
  enabled: fields.flag('enabled'),
  extra: fields.extra(['type', 'name', 'description', 'enabled']),
})

function addEndpoints(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { catalogEntries } = core.identity
  const body = (endpoint: Endpoint, request: FastifyRequest) => ({
    ...endpoint.extra,
    id: endpoint.id,
    service_id: endpoint.serviceId,
    interface: endpoint.interface,
    region: endpoint.regionId,
    region_id: endpoint.regionId,
    url: endpoint.url,
    enabled: endpoint.enabled,
    links: self(request, urls, `endpoints/${endpoint.id}`),
  })

  app.get('/endpoints', async (request) => {
    authorize(request, 'list_endpoints')
    const bodies = (await allEntries(core, urls, request)).endpoints.map((each) => body(each, request))
    return listOf('endpoints', filtered(request, bodies, identityParameters['/endpoints']), request, urls)
  })

  app.post('/endpoints', async (request, reply) => {
    const caller = authorize(request, 'change_endpoints')
    const fields = fieldsOf(await readJsonObject(request), 'endpoint')
    const wanted = {
      ...endpointChange(fields),
      serviceId: fields.requiredText('service_id'),
      interface: interfaceOf(fields.requiredText('interface')),
      url: fields.requiredText('url'),
    }
    const endpoint = await catalogEntries.createEndpoint(wanted, builtIn, caller)
    return reply.code(201).send({ endpoint: body(endpoint, request) })
  })

  app.get<ById>('/endpoints/:id', async (request) => {
    authorize(request, 'get_endpoint')
    const { id } = request.params
    const found = (await allEntries(core, urls, request)).endpoints.find((each) => each.id === id)
    if (found === undefined) throw new EndpointNotFound(id)
    return { endpoint: body(found, request) }
  })

  app.patch<ById>('/endpoints/:id', async (request) => {
    const caller = authorize(request, 'change_endpoints')
    const change = endpointChange(fieldsOf(await readJsonObject(request), 'endpoint'))
    const id = await added(request)
    return { endpoint: body(await catalogEntries.updateEndpoint(id, change, builtIn, caller), request) }
  })

  app.delete<ById>('/endpoints/:id', async (request, reply) => {
    const caller = authorize(request, 'change_endpoints')
    await catalogEntries.deleteEndpoint(await added(request), caller)
    return reply.code(204).send()
  })

  /** Throws EntryBuiltIn. */
  async function added(request: FastifyRequest<ById>): Promise<string> {
    const { endpoints } = await allEntries(core, urls, request)
    const own = endpoints.filter(({ serviceId }) => builtIn.services.includes(serviceId)).map(({ id }) => id)
    const stored = new Set((await catalogEntries.endpoints()).map(({ id }) => id))
    return requireAdded(
      request.params.id,
      own.filter((id) => !stored.has(id)),
    )
  }
}

const interfaces = ['public', 'internal', 'admin'] as const

function interfaceOf(text: string): Endpoint['interface'] {
  const found = interfaces.find((each) => each === text)
  if (found === undefined) throw new MalformedBody(`endpoint.interface must be one of ${interfaces.join(', ')}`)
  return found
}

function endpointChange(fields: Fields) {
  const wanted = fields.text('interface')
  return {
    serviceId: fields.text('service_id'),
    ...(wanted !== undefined && { interface: interfaceOf(wanted) }),
    url: fields.text('url'),
    regionId: fields.nullableText('region_id'),
    /** The older name: such a region is made if it is missing. */
    newRegion: fields.nullableText('region'),
    enabled: fields.flag('enabled'),
    extra: fields.extra(['service_id', 'interface', 'url', 'region_id', 'region', 'enabled']),
  }
}

function addRegions(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { catalogEntries } = core.identity
  const body = ({ id, description, parentId, extra }: Region, request: FastifyRequest) => ({
    ...extra,
    id,
    description,
    parent_region_id: parentId,
    links: self(request, urls, `regions/${encodeURIComponent(id)}`),
  })

  app.get('/regions', async (request) => {
    authorize(request, 'list_regions')
    const bodies = (await allEntries(core, urls, request)).regions.map((each) => body(each, request))
    return listOf('regions', filtered(request, bodies, identityParameters['/regions']), request, urls)
  })

  app.post('/regions', async (request, reply) => {
    const caller = authorize(request, 'change_regions')
    const fields = fieldsOf(await readJsonObject(request), 'region')
    const wanted = { ...regionChange(fields), id: fields.text('id') }
    const region = await catalogEntries.createRegion(wanted, builtIn, caller)
    return reply.code(201).send({ region: body(region, request) })
  })

  app.put<ById>('/regions/:id', async (request, reply) => {
    const caller = authorize(request, 'change_regions')
    const fields = fieldsOf(await readJsonObject(request), 'region')
    fields.requireUnchanged('id', request.params.id)
    const wanted = { ...regionChange(fields), id: request.params.id }
    const region = await catalogEntries.createRegion(wanted, builtIn, caller)
    return reply.code(201).send({ region: body(region, request) })
  })

  app.get<ById>('/regions/:id', async (request) => {
    authorize(request, 'get_region')
    const { id } = request.params
    const found = (await allEntries(core, urls, request)).regions.find((each) => each.id === id)
    if (found === undefined) throw new RegionNotFound(id)
    return { region: body(found, request) }
  })

  app.patch<ById>('/regions/:id', async (request) => {
    const caller = authorize(request, 'change_regions')
    const id = requireAdded(request.params.id, builtIn.regions)
    const change = regionChange(fieldsOf(await readJsonObject(request), 'region'))
    return { region: body(await catalogEntries.updateRegion(id, change, builtIn, caller), request) }
  })

  app.delete<ById>('/regions/:id', async (request, reply) => {
    const caller = authorize(request, 'change_regions')
    await catalogEntries.deleteRegion(requireAdded(request.params.id, builtIn.regions), caller)
    return reply.code(204).send()
  })
}

const regionChange = (fields: Fields) => ({
  description: fields.text('description'),
  parentId: fields.nullableText('parent_region_id'),
  extra: fields.extra(['id', 'description', 'parent_region_id']),
})

/** Throws EntryBuiltIn. */
function requireAdded(id: string, builtInIds: readonly string[]): string {
  if (builtInIds.includes(id)) throw new EntryBuiltIn(id)
  return id
}

/**
 * Where the services are: the catalog inside a token, and its entries one by one.
 *
 * The server's own services are always there: they follow from its URL. The block service is listed twice, as clients look for either
 * type; the image URL carries no version, since clients add it. All three interfaces are the same listener. Administrators add entries
 * for other services.
 */

import { createHash } from 'node:crypto'
import type { BuiltInEntries } from '../../../../core/identity/catalog_entries.js'
import type { Endpoint, Region, Service } from '../../../../core/model/records.js'

const region = 'RegionOne'

export interface CatalogEndpoint {
  id: string
  interface: string
  region: string | null
  region_id: string | null
  url: string
}

export interface CatalogService {
  id: string
  type: string
  name: string
  endpoints: CatalogEndpoint[]
}

export interface Entries {
  regions: Region[]
  services: Service[]
  endpoints: Endpoint[]
}

const ownServices = [
  { type: 'identity', name: 'keystone', path: '/v3' },
  { type: 'object-store', name: 'swift', path: '/v1/AUTH_$(project_id)s' },
  { type: 'image', name: 'glance', path: '/image' },
  { type: 'volumev3', name: 'cinderv3', path: '/volume/v3/$(project_id)s' },
  { type: 'block-storage', name: 'cinder', path: '/volume/v3/$(project_id)s' },
] as const

/** 32 hexadecimal digits, the same at every start: these entries have no rows that could hold an ID. */
function stableId(...words: string[]): string {
  return createHash('sha256').update(words.join('/')).digest('hex').slice(0, 32)
}

const interfaces = ['public', 'internal', 'admin'] as const

export const builtIn: BuiltInEntries = {
  regions: [region],
  services: ownServices.map(({ type }) => stableId('service', type)),
}

/** The entries that no administrator added. `base`: the server's URL. */
export function builtInEntries(base: string): Entries {
  return {
    regions: [{ id: region, description: '', parentId: null, extra: {} }],
    services: ownServices.map(({ type, name }) => ({
      id: stableId('service', type),
      type,
      name,
      description: '',
      enabled: true,
      extra: {},
    })),
    endpoints: ownServices.flatMap(({ type, path }) =>
      interfaces.map((each) => ({
        id: stableId('endpoint', type, each),
        serviceId: stableId('service', type),
        regionId: region,
        interface: each,
        url: `${base}${path}`,
        enabled: true,
        extra: {},
      })),
    ),
  }
}

/** What a token shows: enabled services with their enabled endpoints. An endpoint whose URL needs a project is left out without one. */
export function serviceCatalog(
  { services, endpoints }: Entries,
  values: { projectId: string | undefined; userId: string },
): CatalogService[] {
  return services
    .filter(({ enabled }) => enabled)
    .map(({ id, type, name }) => ({
      id,
      type,
      name,
      endpoints: endpoints.flatMap((endpoint) => {
        const url = filledIn(endpoint.url, values)
        if (endpoint.serviceId !== id || !endpoint.enabled || url === undefined) return []
        const { id: endpointId, regionId } = endpoint
        return [{ id: endpointId, interface: endpoint.interface, region: regionId, region_id: regionId, url }]
      }),
    }))
}

/** With `$(project_id)s` and its kin replaced; undefined: a value is missing, or the name unknown. */
function filledIn(url: string, { projectId, userId }: { projectId: string | undefined; userId: string }) {
  let isComplete = true
  const filled = url.replace(/[$%]\((\w{1,64})\)s/g, (_, name: string) => {
    const value = { project_id: projectId, tenant_id: projectId, user_id: userId }[name]
    if (value === undefined) isComplete = false
    return value ?? ''
  })
  return isComplete ? filled : undefined
}

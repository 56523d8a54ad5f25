/**
 * Where the services are: the catalog inside a token.
 *
 * The block service is listed twice, as clients look for either type. The image URL carries no version, since clients add
 * it. All three interfaces are the same door.
 */

import { createHash } from 'node:crypto'

export const region = 'RegionOne'

interface Service {
  type: string
  name: string
  path: string
}

export interface CatalogEndpoint {
  id: string
  interface: string
  region: string
  region_id: string
  url: string
}

export interface CatalogService {
  id: string
  type: string
  name: string
  endpoints: CatalogEndpoint[]
}

/** `base`: the server's URL; `projectId`: hex, as the URLs carry it. */
export function serviceCatalog(base: string, projectId: string): CatalogService[] {
  return services(projectId).map((service) => ({
    id: stableId('service', service.type),
    type: service.type,
    name: service.name,
    endpoints: ['public', 'internal', 'admin'].map((name) => ({
      id: stableId('endpoint', service.type, name),
      interface: name,
      region,
      region_id: region,
      url: `${base}${service.path}`,
    })),
  }))
}

function services(projectId: string): Service[] {
  return [
    { type: 'identity', name: 'keystone', path: '/v3' },
    { type: 'object-store', name: 'swift', path: `/v1/AUTH_${projectId}` },
    { type: 'image', name: 'glance', path: '/image' },
    { type: 'volumev3', name: 'cinderv3', path: `/volume/v3/${projectId}` },
    { type: 'block-storage', name: 'cinder', path: `/volume/v3/${projectId}` },
  ]
}

/** 32 hexadecimal digits, the same at every start: the catalog is no table that could hold an id. */
function stableId(...words: string[]): string {
  return createHash('sha256').update(words.join('/')).digest('hex').slice(0, 32)
}

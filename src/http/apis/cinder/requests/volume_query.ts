/** The query of lists and summaries of volumes. */

import type { FastifyRequest } from 'fastify'
import type { VolumeQuery, VolumeSortKey } from '../../../../core/volumes/volumes.js'
import { since } from '../microversion.js'
import { bootableFilter, metadataFilter } from './filters.js'
import { eitherOf, type ListParams, parseListParams, type RawQuery } from './list_params.js'

const sortKeys: Record<string, VolumeSortKey> = {
  id: 'id',
  name: 'name',
  display_name: 'name',
  created_at: 'created_at',
  updated_at: 'updated_at',
  size: 'size',
  status: 'status',
  bootable: 'bootable',
  availability_zone: 'availability_zone',
}

/** Throws 400. */
export function parseVolumeQuery(request: FastifyRequest): { params: ListParams<VolumeSortKey>; query: VolumeQuery } {
  const params = parseListParams(request.query as RawQuery, sortKeys, request.microversion)
  return { params, query: volumeQuery(params, request.microversion) }
}

function volumeQuery(params: ListParams<VolumeSortKey>, microversion: number): VolumeQuery {
  const { filters, marker, offset, sort, allTenants } = params
  return {
    marker: marker as VolumeQuery['marker'],
    offset,
    sort: sort.length > 0 ? sort : undefined,
    allProjects: allTenants,
    projectId: eitherOf(filters, 'project_id', 'tenant_id'),
    userId: filters.get('user_id'),
    ids: filters.has('id') ? [filters.get('id') as string] : undefined,
    name: eitherOf(filters, 'name', 'display_name'),
    status: filters.get('status'),
    bootable: bootableFilter(filters.get('bootable'), microversion >= since.strictBootableFilter),
    availabilityZone: filters.get('availability_zone'),
    metadata: metadataFilter(filters.get('metadata')),
  }
}

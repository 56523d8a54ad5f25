/** The query of lists of snapshots. */

import type { FastifyRequest } from 'fastify'
import type { SnapshotQuery, SnapshotSortKey } from '../../../../core/volumes/snapshots.js'
import { metadataFilter } from './filters.js'
import { eitherOf, type ListParams, parseListParams, type RawQuery } from './list_params.js'

const sortKeys: Record<string, SnapshotSortKey> = {
  id: 'id',
  name: 'name',
  display_name: 'name',
  created_at: 'created_at',
  updated_at: 'updated_at',
  status: 'status',
  size: 'size',
  volume_size: 'size',
  volume_id: 'volume_id',
}

/** Throws 400. */
export function parseSnapshotQuery(request: FastifyRequest): {
  params: ListParams<SnapshotSortKey>
  query: SnapshotQuery
} {
  const params = parseListParams(request.query as RawQuery, sortKeys, request.microversion)
  return { params, query: snapshotQuery(params) }
}

function snapshotQuery(params: ListParams<SnapshotSortKey>): SnapshotQuery {
  const { filters, marker, offset, sort, allTenants } = params
  return {
    marker: marker as SnapshotQuery['marker'],
    offset,
    sort: sort.length > 0 ? sort : undefined,
    allProjects: allTenants,
    projectId: eitherOf(filters, 'project_id', 'tenant_id'),
    userId: filters.get('user_id'),
    name: eitherOf(filters, 'name', 'display_name'),
    status: filters.get('status'),
    volumeId: filters.get('volume_id'),
    metadata: metadataFilter(filters.get('metadata')),
  }
}

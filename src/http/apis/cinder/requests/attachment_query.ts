/** The query of lists of attachments. */

import type { FastifyRequest } from 'fastify'
import type { AttachmentQuery, AttachmentSortKey } from '../../../../core/volumes/attachments.js'
import { eitherOf, type ListParams, parseListParams, type RawQuery } from './list_params.js'

const sortKeys: Record<string, AttachmentSortKey> = {
  id: 'id',
  created_at: 'created_at',
  updated_at: 'updated_at',
  status: 'status',
  attach_status: 'status',
  volume_id: 'volume_id',
}

/** Throws 400. */
export function parseAttachmentQuery(request: FastifyRequest): {
  params: ListParams<AttachmentSortKey>
  query: AttachmentQuery
} {
  const params = parseListParams(request.query as RawQuery, sortKeys, request.microversion)
  return { params, query: attachmentQuery(params) }
}

function attachmentQuery(params: ListParams<AttachmentSortKey>): AttachmentQuery {
  const { filters, marker, offset, sort, allTenants } = params
  return {
    marker: marker as AttachmentQuery['marker'],
    offset,
    sort: sort.length > 0 ? sort : undefined,
    allProjects: allTenants,
    projectId: eitherOf(filters, 'project_id', 'tenant_id'),
    volumeId: filters.get('volume_id'),
    instanceId: filters.get('instance_id'),
    status: eitherOf(filters, 'status', 'attach_status'),
  }
}

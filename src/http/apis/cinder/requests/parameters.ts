/** The query parameters of the block storage API: every list, and what it can be filtered and ordered by. */

import type { ParameterTable } from '../../../shared/parameters.js'

/** What lists are filtered by; `GET /resource_filters` answers the same. */
export const filters = {
  volume: [
    'name',
    'display_name',
    'status',
    'metadata',
    'bootable',
    'availability_zone',
    'id',
    'user_id',
    'project_id',
    'tenant_id',
  ],
  snapshot: ['name', 'display_name', 'status', 'volume_id', 'metadata', 'user_id', 'project_id', 'tenant_id'],
  attachment: ['volume_id', 'status', 'attach_status', 'instance_id', 'project_id', 'tenant_id'],
} as const

const page = ['limit', 'marker', 'offset', 'sort', 'sort_key', 'sort_dir']
const scope = ['all_tenants']
const list = [...page, ...scope, 'with_count']

export const cinderParameters = {
  '/volumes': [...list, ...filters.volume],
  '/volumes/detail': [...list, ...filters.volume],
  '/volumes/summary': [...scope, ...filters.volume],
  '/snapshots': [...list, ...filters.snapshot],
  '/snapshots/detail': [...list, ...filters.snapshot],
  '/attachments': [...list, ...filters.attachment],
  '/attachments/detail': [...list, ...filters.attachment],
  '/types': [...page, 'is_public', 'name'],
  '/os-services': ['binary', 'host'],
  '/scheduler-stats/get_pools': ['detail', 'name'],
  '/resource_filters': ['resource'],
  '/limits': ['project_id', 'tenant_id'],
  '/os-quota-sets/:targetId': ['usage'],
} as const satisfies ParameterTable

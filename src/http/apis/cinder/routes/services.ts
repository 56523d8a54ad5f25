/** What the API says of the service itself: services, zones, pools, extensions, filters. */

import type { FastifyInstance } from 'fastify'
import { requireAdmin, requireProject } from '../../../shared/auth.js'
import { availabilityZone, serviceHost, volumeHost } from '../backend.js'
import { requireMicroversion, since } from '../microversion.js'
import { filters } from '../requests/parameters.js'
import { flagOf } from '../requests/validation.js'
import { cinderTime } from '../responses/time.js'

export function serviceRoutes(app: FastifyInstance): void {
  app.get('/os-services', async (request) => {
    requireAdmin(request)
    const { binary, host } = request.query as { binary?: string; host?: string }
    const { microversion } = request
    const service = {
      binary: 'cinder-volume',
      host: serviceHost,
      zone: availabilityZone,
      status: 'enabled',
      state: 'up',
      updated_at: cinderTime(Date.now()),
      disabled_reason: null,
      replication_status: 'disabled',
      active_backend_id: null,
      frozen: false,
      ...(microversion >= since.servicesCluster ? { cluster: null } : {}),
      ...(microversion >= since.backendState ? { backend_state: 'up' } : {}),
    }
    const asked = (binary === undefined || binary === service.binary) && (host === undefined || host === service.host)
    return { services: asked ? [service] : [] }
  })

  app.get('/os-availability-zone', async (request) => {
    requireProject(request)
    return { availabilityZoneInfo: [{ zoneName: availabilityZone, zoneState: { available: true } }] }
  })

  app.get('/scheduler-stats/get_pools', async (request) => {
    requireAdmin(request)
    const { detail, name } = request.query as { detail?: string; name?: string }
    if (name !== undefined && name !== volumeHost) return { pools: [] }
    if (!flagOf(detail ?? '')) return { pools: [{ name: volumeHost }] }
    return {
      pools: [
        {
          name: volumeHost,
          capabilities: {
            volume_backend_name: 'atoll',
            vendor_name: 'Atoll',
            driver_version: '1',
            storage_protocol: 'nbd',
            // Thin and shared with images and objects: what is left of the file system is the operator's to watch.
            total_capacity_gb: 'unknown',
            free_capacity_gb: 'unknown',
            reserved_percentage: 0,
            QoS_support: false,
            thin_provisioning_support: true,
            timestamp: cinderTime(Date.now()),
          },
        },
      ],
    }
  })

  app.get('/extensions', async (request) => {
    requireProject(request)
    return {
      extensions: extensions.map(([alias, name, description]) => ({ ...extensionDates, alias, name, description })),
    }
  })

  app.get('/resource_filters', async (request) => {
    requireProject(request)
    requireMicroversion(request, since.resourceFilters)
    const { resource } = request.query as { resource?: string }
    return {
      resource_filters: Object.entries(filters)
        .filter(([name]) => resource === undefined || resource === name)
        .map(([name, known]) => ({ resource: name, filters: known })),
    }
  })
}

const extensionDates = { updated: '2022-03-30T00:00:00+00:00', links: [] }
const extensions: [alias: string, name: string, description: string][] = [
  ['os-admin-actions', 'AdminActions', 'Reset of states and forced deletion'],
  ['os-availability-zone', 'AvailabilityZones', 'The one availability zone'],
  ['os-extended-snapshot-attributes', 'ExtendedSnapshotAttributes', 'Progress and project of snapshots'],
  ['os-image-create', 'CreateVolumeExtension', 'Volumes from images'],
  ['os-quota-sets', 'Quotas', 'Quotas, for reading'],
  ['os-services', 'Services', 'The services, for reading'],
  ['os-used-limits', 'UsedLimits', 'What of the limits is used'],
  ['os-vol-host-attr', 'VolumeHostAttribute', 'Host of a volume'],
  ['os-vol-image-meta', 'VolumeImageMetadata', 'Properties of the image that a volume was made from'],
  ['os-vol-tenant-attr', 'VolumeTenantAttribute', 'Project of a volume'],
  ['os-volume-actions', 'VolumeActions', 'Actions on volumes'],
  ['scheduler-stats', 'Scheduler_stats', 'The one pool'],
]

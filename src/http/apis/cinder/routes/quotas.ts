/**
 * Limits and quotas, for reading: nothing is limited yet, which OpenStack writes as -1, and what is used is counted.
 */

import type { FastifyInstance } from 'fastify'
import type { ProjectCaller } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireProject } from '../../../shared/auth.js'
import { badRequest, CinderFault } from '../errors.js'
import { flagOf } from '../requests/validation.js'
import { volumeTypeName } from '../volume_type.js'

const unlimited = -1

export function quotaRoutes(app: FastifyInstance, { core }: ApiOptions): void {
  app.get('/limits', async (request) => {
    const caller = requireProject(request)
    const { project_id: projectId, tenant_id: tenantId } = request.query as { project_id?: string; tenant_id?: string }
    if (projectId !== undefined && tenantId !== undefined && projectId !== tenantId)
      throw badRequest('project_id and tenant_id are the same parameter and have different values.')
    const asked = (projectId ?? tenantId) || caller.project.id
    requireOwn(caller, asked)
    const used = await core.volumes.usage(caller, asked)
    return {
      limits: {
        rate: [],
        absolute: {
          maxTotalVolumes: unlimited,
          maxTotalVolumeGigabytes: unlimited,
          maxTotalSnapshots: unlimited,
          maxTotalBackups: unlimited,
          maxTotalBackupGigabytes: unlimited,
          totalVolumesUsed: used.volumes,
          totalGigabytesUsed: used.volumeGib,
          totalSnapshotsUsed: used.snapshots,
          totalBackupsUsed: 0,
          totalBackupGigabytesUsed: 0,
        },
      },
    }
  })

  app.get<{ Params: { targetId: string } }>('/os-quota-sets/:targetId', async (request) => {
    const caller = requireProject(request)
    const { targetId } = request.params
    requireOwn(caller, targetId)
    const { usage } = request.query as { usage?: string }
    if (usage !== undefined && flagOf(usage) === undefined)
      throw badRequest(`usage param must be a boolean; it is '${usage}'`)
    if (!flagOf(usage ?? '')) return { quota_set: { id: targetId, ...quotaSet(() => unlimited) } }
    const { volumes, volumeGib, snapshots } = await core.volumes.usage(caller, targetId)
    const inUse: Record<string, number> = { volumes, gigabytes: volumeGib, snapshots }
    return {
      quota_set: {
        id: targetId,
        ...quotaSet((name) => ({ limit: unlimited, in_use: inUse[name] ?? 0, reserved: 0 })),
      },
    }
  })

  app.get<{ Params: { targetId: string } }>('/os-quota-sets/:targetId/defaults', async (request) => {
    const { targetId } = request.params
    requireOwn(requireProject(request), targetId)
    return { quota_set: { id: targetId, ...quotaSet(() => unlimited) } }
  })
}

function requireOwn(caller: ProjectCaller, projectId: string): void {
  if (!caller.isAdmin && projectId !== caller.project.id)
    throw new CinderFault(403, 'Only an administrator may see the quota of another project.')
}

/** With the totals per type, which are those of all volumes. */
function quotaSet<T>(limitOf: (name: string) => T): Record<string, T> {
  const counted = ['volumes', 'snapshots', 'gigabytes']
  return Object.fromEntries([
    ...[...counted, 'per_volume_gigabytes', 'backups', 'backup_gigabytes', 'groups'].map((name) => [
      name,
      limitOf(name),
    ]),
    ...counted.map((name) => [`${name}_${volumeTypeName}`, limitOf(name)]),
  ])
}

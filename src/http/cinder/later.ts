/** Resources of Cinder that this version does not serve: 501, so that nobody takes them for empty. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../auth.js'
import { CinderFault } from './faults.js'

const later: Record<string, string> = {
  backups: 'Backups',
  'volume-transfers': 'Volume transfers',
  'os-volume-transfer': 'Volume transfers',
  groups: 'Groups',
  group_types: 'Group types',
  group_snapshots: 'Group snapshots',
  consistencygroups: 'Consistency groups',
  cgsnapshots: 'Snapshots of consistency groups',
  'qos-specs': 'QoS specifications',
  messages: 'Messages',
  clusters: 'Clusters',
  workers: 'Workers',
  'os-hosts': 'Hosts',
  capabilities: 'Capabilities',
  'default-types': 'Default types',
  manageable_volumes: 'Management of existing volumes',
  manageable_snapshots: 'Management of existing snapshots',
  'os-volume-manage': 'Management of existing volumes',
  'os-snapshot-manage': 'Management of existing snapshots',
  'os-quota-class-sets': 'Quota classes',
}

const methods = ['GET', 'POST', 'PUT', 'DELETE'] as const

export function laterRoutes(app: FastifyInstance): void {
  const refuse = (what: string) => async (request: Parameters<typeof requireProject>[0]) => {
    requireProject(request)
    throw new CinderFault(501, `${what}: not served by this version of Atoll.`)
  }
  for (const [name, what] of Object.entries(later)) {
    app.route({ method: [...methods], url: `/${name}`, handler: refuse(what) })
    app.route({ method: [...methods], url: `/${name}/*`, handler: refuse(what) })
  }
  const types = refuse('Changes of volume types')
  app.post('/types', types)
  app.put('/types/:typeId', types)
  app.delete('/types/:typeId', types)
  app.post('/types/:typeId/action', types)
  app.post('/types/:typeId/extra_specs', types)
  app.put('/os-quota-sets/:targetId', refuse('Changes of quotas'))
  app.delete('/os-quota-sets/:targetId', refuse('Changes of quotas'))
  app.put('/os-services/:action', refuse('Changes of services'))
}

/** Resources of Cinder that this version does not serve: 501, so that nobody takes them for empty. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../../shared/auth.js'
import { NotServed } from '../../shared/errors.js'

const later: Record<string, string> = {
  backups: 'backups',
  'volume-transfers': 'volume transfers',
  'os-volume-transfer': 'volume transfers',
  groups: 'groups',
  group_types: 'group types',
  group_snapshots: 'group snapshots',
  consistencygroups: 'consistency groups',
  cgsnapshots: 'snapshots of consistency groups',
  'qos-specs': 'QoS specifications',
  messages: 'messages',
  clusters: 'clusters',
  workers: 'workers',
  'os-hosts': 'hosts',
  capabilities: 'capabilities',
  'default-types': 'default types',
  manageable_volumes: 'management of existing volumes',
  manageable_snapshots: 'management of existing snapshots',
  'os-volume-manage': 'management of existing volumes',
  'os-snapshot-manage': 'management of existing snapshots',
  'os-quota-class-sets': 'quota classes',
}

const methods = ['GET', 'POST', 'PUT', 'DELETE'] as const

export function laterRoutes(app: FastifyInstance): void {
  const refuse = (what: string) => async (request: Parameters<typeof requireProject>[0]) => {
    requireProject(request)
    throw new NotServed(what)
  }
  for (const [name, what] of Object.entries(later)) {
    const config = { anyParameters: true }
    app.route({ method: [...methods], url: `/${name}`, config, handler: refuse(what) })
    app.route({ method: [...methods], url: `/${name}/*`, config, handler: refuse(what) })
  }
  const types = refuse('changes of volume types')
  app.post('/types', types)
  app.put('/types/:typeId', types)
  app.delete('/types/:typeId', types)
  app.post('/types/:typeId/action', types)
  app.post('/types/:typeId/extra_specs', types)
  app.put('/os-quota-sets/:targetId', refuse('changes of quotas'))
  app.delete('/os-quota-sets/:targetId', refuse('changes of quotas'))
  app.put('/os-services/:action', refuse('changes of services'))
}

/** What Cinder offers and Atoll does not support. Refused, so that nobody takes it for empty or done. */

import type { FastifyInstance } from 'fastify'
import { requireProject } from '../../shared/auth.js'
import { Unsupported } from '../../shared/errors.js'
import { refuseRoutes, type UnsupportedRoute } from '../../shared/unsupported.js'

/** Whole resources: the collection and everything below it. */
const resources: Record<string, string> = {
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

const routes: UnsupportedRoute[] = [
  ...Object.entries(resources).flatMap(([name, feature]) =>
    [`/${name}`, `/${name}/*`].map((url) => ({ methods: ['GET', 'POST', 'PUT', 'DELETE'] as const, url, feature })),
  ),
  { methods: ['POST'], url: '/types', feature: 'changes of volume types' },
  { methods: ['PUT', 'DELETE'], url: '/types/:typeId', feature: 'changes of volume types' },
  { methods: ['POST'], url: '/types/:typeId/action', feature: 'changes of volume types' },
  { methods: ['POST'], url: '/types/:typeId/extra_specs', feature: 'changes of volume types' },
  { methods: ['PUT', 'DELETE'], url: '/os-quota-sets/:targetId', feature: 'changes of quotas' },
  { methods: ['PUT'], url: '/os-services/:action', feature: 'changes of services' },
]

const actions = {
  volume: [
    'os-retype',
    'os-reimage',
    'os-migrate_volume',
    'os-migrate_volume_completion',
    'os-unmanage',
    'os-promote-replica',
    'os-reenable-replica',
    'revert',
  ],
  snapshot: ['os-reset_status', 'os-update_snapshot_status', 'os-unmanage'],
} as const

export function refuseUnsupported(app: FastifyInstance): void {
  refuseRoutes(app, routes, requireProject)
}

/** Throws Unsupported for an action that only Cinder has. */
export function refuseUnsupportedAction(of: keyof typeof actions, name: string): void {
  if ((actions[of] as readonly string[]).includes(name)) throw new Unsupported(`the action ${name}`)
}

/** A snapshot as the block storage API shows it, with exactly the members of the asked microversion. */

import type { Snapshot } from '../../../../core/model/records.js'
import { since } from '../microversion.js'
import type { ViewContext } from './context.js'
import { cinderTime, cinderTimeOrNull } from './time.js'

/** The brief form of lists. */
export function snapshotSummary(snapshot: Snapshot): Record<string, unknown> {
  return {
    id: snapshot.id,
    name: snapshot.name,
    description: snapshot.description,
    created_at: cinderTime(snapshot.createdAt),
    updated_at: cinderTimeOrNull(snapshot.updatedAt),
    volume_id: snapshot.volumeId,
    status: snapshot.status,
    size: snapshot.sizeGib,
    metadata: snapshot.metadata,
  }
}

/** What POST and PUT answer. */
export function snapshotView(snapshot: Snapshot, { microversion }: ViewContext): Record<string, unknown> {
  return {
    ...snapshotSummary(snapshot),
    ...(microversion >= since.groupSnapshots ? { group_snapshot_id: null } : {}),
    ...(microversion >= since.snapshotUserId ? { user_id: snapshot.userId } : {}),
    ...(microversion >= since.consumesQuota ? { consumes_quota: true } : {}),
  }
}

/** What GET answers, alone and in detailed lists. */
export function snapshotDetail(snapshot: Snapshot, context: ViewContext): Record<string, unknown> {
  return {
    ...snapshotView(snapshot, context),
    'os-extended-snapshot-attributes:progress': snapshot.status === 'error' ? '0%' : '100%',
    'os-extended-snapshot-attributes:project_id': snapshot.projectId,
  }
}

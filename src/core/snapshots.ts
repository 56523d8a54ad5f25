/** Snapshots of volumes: O(1), also while attached and under load. */
import type { SnapshotId } from '../lib/ids.js'
import type { Metadata, Page, ProjectCaller, Snapshot } from './records.js'

export type SnapshotSortKey = 'id' | 'name' | 'created_at' | 'updated_at' | 'size' | 'status' | 'volume_id'

export interface SnapshotQuery extends Page<SnapshotId, SnapshotSortKey> {
  allProjects?: boolean | undefined
  projectId?: string | undefined
  name?: string | undefined
  status?: string | undefined
  volumeId?: string | undefined
  metadata?: Metadata | undefined
}

export declare class Snapshots {
  /** A volume that is in use needs `force` (VolumeStateConflict otherwise). Everything written and answered before is in it. */
  create(
    caller: ProjectCaller,
    snapshot: {
      volumeId: string
      name?: string | null | undefined
      description?: string | null | undefined
      metadata?: Metadata | undefined
      force?: boolean | undefined
    },
  ): Promise<Snapshot>
  /** Throws SnapshotNotFound. */
  get(caller: ProjectCaller, id: string): Promise<Snapshot>
  list(caller: ProjectCaller, query: SnapshotQuery): Promise<Snapshot[]>
  count(caller: ProjectCaller, query: SnapshotQuery): Promise<number>
  update(
    caller: ProjectCaller,
    id: string,
    change: {
      name?: string | null | undefined
      description?: string | null | undefined
      metadata?: Metadata | undefined
    },
  ): Promise<Snapshot>
  delete(caller: ProjectCaller, id: string): Promise<void>
}

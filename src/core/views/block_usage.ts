/**
 * How many volumes and snapshots each project has, and how large the volumes are: counters in the catalog, changed in the transaction
 * that makes, grows or deletes one. `atoll check` compares them with the rows. Counting the rows instead would take longer the more there
 * are, and quotas are asked for often.
 */

import { sql } from 'kysely'
import type { Reader, Transaction } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import type { ProjectId } from '../../lib/ids.js'

export interface BlockUsage {
  volumes: number
  volumeGib: number
  snapshots: number
}

/** In the transaction that changes the rows. */
export async function countBlocks({ db }: Transaction, project: ProjectId, change: Partial<BlockUsage>): Promise<void> {
  await addUsage.run(db, project, change.volumes ?? 0, change.volumeGib ?? 0, change.snapshots ?? 0)
}

const addUsage = new Prepared<never, [project: ProjectId, volumes: number, volumeGib: number, snapshots: number]>(
  (db) =>
    sql<never>`insert into block_usage (project_id, volumes, volume_gib, snapshots) values (${''}, ${0}, ${0}, ${0})
    on conflict (project_id) do update set volumes = block_usage.volumes + excluded.volumes,
      volume_gib = block_usage.volume_gib + excluded.volume_gib,
      snapshots = block_usage.snapshots + excluded.snapshots`.compile(db),
)

const usageBy = new Prepared<BlockUsage, [project: string]>((db) =>
  sql<BlockUsage>`select volumes, volume_gib as "volumeGib", snapshots from block_usage
    where project_id = ${''}`.compile(db),
)

export async function blockUsageOf(db: Reader, project: string): Promise<BlockUsage> {
  return (await usageBy.first(db, project)) ?? { volumes: 0, volumeGib: 0, snapshots: 0 }
}

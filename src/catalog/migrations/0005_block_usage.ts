/** Counters of volumes and snapshots by project: quotas no longer count rows. */

import { type Kysely, sql } from 'kysely'

export async function blockUsage(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('block_usage')
    .addColumn('project_id', 'text', (c) => c.primaryKey().notNull().references('projects.id').onDelete('cascade'))
    .addColumn('volumes', 'bigint', (c) => c.notNull())
    .addColumn('volume_gib', 'bigint', (c) => c.notNull())
    .addColumn('snapshots', 'bigint', (c) => c.notNull())
    .execute()
  await sql`insert into block_usage (project_id, volumes, volume_gib, snapshots)
    select project_id, sum(volumes), sum(volume_gib), sum(snapshots) from (
      select project_id, 1 as volumes, size_gib as volume_gib, 0 as snapshots from volumes
      union all select project_id, 0, 0, 1 from snapshots) as counted
    group by project_id`.execute(db)
}

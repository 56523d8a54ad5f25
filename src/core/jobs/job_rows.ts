/**
 * Long work that somebody asked for: a row each, which outlives the process. A job is `queued`, then `running`, and ends as `done` or
 * `error`; one that an interrupted run left `running` is queued again, a few times.
 */

import type { Reader, Transaction } from '../../catalog/types.js'
import type { JobRow } from '../../catalog/schema.js'
import { type ImageId, newJobId, type JobId, type ProjectId } from '../../lib/ids.js'

export type JobKind = JobRow['kind']

interface NewJob {
  kind: JobKind
  projectId: ProjectId
  imageId: ImageId
  /** Of the image. */
  name: string | null
}

export async function insertJob({ db }: Transaction, { kind, projectId, imageId, name }: NewJob): Promise<JobRow> {
  const now = Date.now()
  const row: JobRow = {
    id: newJobId(),
    kind,
    project_id: projectId,
    image_id: imageId,
    name,
    state: 'queued',
    progress: 0,
    message: '',
    attempts: 0,
    resource_id: null,
    size_bytes: null,
    created_at: now,
    updated_at: now,
  }
  await db.insertInto('jobs').values(row).execute()
  return row
}

/** The one that has not ended. */
export function openJob(db: Reader, kind: JobKind, image: ImageId): Promise<JobRow | undefined> {
  return db
    .selectFrom('jobs')
    .selectAll()
    .where('image_id', '=', image)
    .where('kind', '=', kind)
    .where('state', 'in', ['queued', 'running'])
    .executeTakeFirst()
}

export async function changeJob({ db }: Transaction, id: JobId, change: Partial<JobRow>): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ ...change, updated_at: Date.now() })
    .where('id', '=', id)
    .execute()
}

const candidatesMax = 100

/** The oldest one, of another project than the last one if there is any. */
export async function nextJob(db: Reader, last: ProjectId | undefined): Promise<JobRow | undefined> {
  const queued = db.selectFrom('jobs').selectAll().where('state', '=', 'queued').orderBy('created_at').orderBy('id')
  const rows = await queued.limit(candidatesMax).execute()
  return rows.find((row) => row.project_id !== last) ?? rows[0]
}

const keptMs = 48 * 3600_000

/** Jobs that ended two days ago. */
export async function purgeJobs({ db }: Transaction): Promise<void> {
  await db
    .deleteFrom('jobs')
    .where('state', 'in', ['done', 'error'])
    .where('updated_at', '<', Date.now() - keptMs)
    .execute()
}

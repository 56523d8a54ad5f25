/**
 * IDs that clients may choose (those of images) are used once, also after what had them is deleted: otherwise another tenant could
 * take the ID of a deleted image, and whoever still uses that ID would get foreign bytes.
 *
 * Operators name volumes, snapshots and images by ID alone, so that the three share one set of IDs.
 */

import type { Reader } from '../../catalog/types.js'
import { Prepared } from '../../catalog/prepared.js'
import { sql } from 'kysely'

const insertId = new Prepared<never, [id: string]>((db) =>
  sql<never>`insert into used_ids (id) values (${''}) on conflict (id) do nothing`.compile(db),
)

/** Marks the ID as used, in the transaction that makes the thing. False if it was used before. */
export async function takeId(db: Reader, id: string): Promise<boolean> {
  return (await insertId.run(db, id)) === 1
}

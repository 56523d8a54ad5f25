/** Is the catalog itself whole, and does it agree with itself? For `atoll check`. */

import { sql } from 'kysely'
import type { Reader } from './catalog.js'

/** SQLite's own tests of the file and of the references between its tables. */
export async function fileFindings(db: Reader): Promise<string[]> {
  const integrity = await sql<{ integrity_check: string }>`pragma integrity_check(100)`.execute(db)
  const references = await sql<{ table: string; parent: string; rowid: number }>`pragma foreign_key_check`.execute(db)
  return [
    ...integrity.rows.map((row) => row.integrity_check).filter((line) => line !== 'ok'),
    ...references.rows.map(({ table, parent, rowid }) => `row ${rowid} of ${table} refers to nothing in ${parent}`),
  ]
}

/** Rules of the layer tree (src/core/tree.ts, src/core/reaper.ts), each a query for what breaks it. */
export async function treeFindings(db: Reader): Promise<string[]> {
  const rules: [(id: string | number) => string, ReturnType<typeof sql<{ id: string | number }>>][] = [
    [
      (id) => `layer ${id} has a child but is not sealed`,
      sql`select id from layers where sealed = 0 and exists (select 1 from layers c where c.parent = layers.id)`,
    ],
    [
      (id) => `layer ${id} is its own ancestor`,
      sql`with recursive up(id, at) as (
            select id, parent from layers where parent >= id
            union select up.id, layers.parent from up join layers on layers.id = up.at
          ) select distinct id from up where at = id`,
    ],
    [
      (id) => `layer ${id} is being dropped but is still part of the tree`,
      sql`select id from layers where state = 'dropping' and (parent is not null
            or exists (select 1 from layers c where c.parent = layers.id)
            or exists (select 1 from resources r where r.head_layer = layers.id))`,
    ],
    [
      (id) => `the read-only resource ${id} has a head that is not sealed`,
      sql`select r.id from resources r join layers l on l.id = r.head_layer where r.mode = 'ro' and l.sealed = 0`,
    ],
    [
      (id) => `the writable resource ${id} has a head that is sealed or shared`,
      sql`select r.id from resources r join layers l on l.id = r.head_layer where r.mode = 'rw' and (l.sealed = 1
            or exists (select 1 from resources o where o.head_layer = l.id and o.id <> r.id))`,
    ],
    [
      (id) => `the resource ${id} belongs to no object, image, snapshot or volume`,
      sql`select id from resources r where not exists (select 1 from objects where resource_id = r.id)
            and not exists (select 1 from images where resource_id = r.id)
            and not exists (select 1 from snapshots where resource_id = r.id)
            and not exists (select 1 from volumes where resource_id = r.id)`,
    ],
    [
      (id) => `the container ${id} does not count its objects right`,
      sql`select c.id from containers c where c.object_count <> (select count(*) from objects where container_id = c.id)
            or c.bytes_used <> (select coalesce(sum(size_bytes), 0) from objects where container_id = c.id)`,
    ],
    [
      (id) => `the account of the project ${id} does not count its containers and objects right`,
      sql`select a.project_id as id from accounts a
            where a.container_count <> (select count(*) from containers where project_id = a.project_id)
            or a.object_count <> (select coalesce(sum(object_count), 0) from containers where project_id = a.project_id)
            or a.bytes_used <> (select coalesce(sum(bytes_used), 0) from containers where project_id = a.project_id)`,
    ],
  ]
  const findings: string[] = []
  for (const [words, query] of rules) {
    const { rows } = await query.execute(db)
    findings.push(...rows.slice(0, 100).map((row) => words(row.id)))
    if (rows.length > 100) findings.push(`… and ${rows.length - 100} more of the same kind`)
  }
  return findings
}

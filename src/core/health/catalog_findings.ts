/** Whether the catalog agrees with itself, for `atoll check`. What breaks a rule is named by its ID. */

import { sql } from 'kysely'
import type { BrokenReference, Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import { owners } from '../tree/owners.js'

export type CatalogFindingKind =
  | 'resource_missing'
  | 'layer_missing'
  | 'layer_cycle'
  | 'reference_broken'
  | 'row_dangling'
  | 'layer_unsealed'
  | 'layer_dropping'
  | 'head_unsealed'
  | 'head_sealed'
  | 'limit_wrong'
  | 'layer_numbers'
  | 'resource_unowned'
  | 'size_mismatch'
  | 'container_counts'
  | 'account_counts'
  | 'block_counts'

export interface CatalogFinding {
  kind: CatalogFindingKind
  message: string
  /** Whose views are affected. */
  resource?: ResourceId
  /** All that have this layer in their chain are affected. */
  layer?: LayerId
}

const findingsOfAKind = 100

/** Tables whose rows say something about a row of another one, and are worth nothing without it. */
export const descriptions: readonly string[] = [
  ...['account_metadata', 'container_metadata', 'object_metadata', 'volume_metadata', 'volume_image_metadata'],
  ...['snapshot_metadata', 'snapshot_image_metadata', 'image_properties', 'image_tags', 'image_members', 'tokens'],
  ...['block_usage', 'project_ancestors', 'project_tags', 'actors', 'grants', 'role_implications', 'role_expansion'],
  ...['application_credentials', 'application_credential_roles', 'application_credential_rules', 'access_rules'],
  'credentials',
]

/** The references between tables. */
export async function referenceFindings(catalog: Catalog): Promise<CatalogFinding[]> {
  const findings: CatalogFinding[] = []
  for (const broken of (await catalog.brokenReferences(catalog.db)).slice(0, findingsOfAKind))
    findings.push(await describeReference(broken))
  return findings
}

async function describeReference({ table, parent, where, read }: BrokenReference): Promise<CatalogFinding> {
  if (descriptions.includes(table))
    return { kind: 'row_dangling', message: `a row of ${table} belongs to nothing in ${parent}` }
  const row = await read()
  const name = row?.name ? ` (${row.name})` : ''
  const thing = `the ${table.replace(/s$/, '')} ${row?.id ?? where}${name}`
  if (parent === 'resources')
    return {
      kind: 'resource_missing',
      message: `${thing} refers to the resource ${row?.resource_id}, which is not there`,
    }
  if (table === 'resources')
    return {
      kind: 'layer_missing',
      message: `${thing} refers to the layer ${row?.head_layer}, which is not there`,
      resource: row?.id as ResourceId,
    }
  if (table === 'layers')
    return {
      kind: 'layer_missing',
      message: `${thing} refers to the layer ${row?.parent}, which is not there`,
      layer: row?.id as LayerId,
    }
  return { kind: 'reference_broken', message: `${thing} refers to nothing in ${parent}` }
}

interface Rule {
  kind: CatalogFindingKind
  words(row: { id: string | number; a?: number; b?: number; text?: string }): string
  about?: 'resource' | 'layer'
  query: ReturnType<typeof sql<{ id: string | number; a?: number; b?: number; text?: string }>>
}

const resourceSizes: readonly Rule[] = owners.map(({ kind, table, sizeBytes, sizeDiffers }) => ({
  kind: 'size_mismatch',
  words: ({ id, a, b, text }) =>
    `the ${kind} ${id}${text ? ` (${text})` : ''} says that it has ${a} bytes, its resource has ${b}`,
  query: sql`select t.id, t.bytes as a, r.size_bytes as b, t.name as text
      from (select id, name, resource_id, ${sizeBytes} as bytes from ${sql.table(table)}) t
      join resources r on r.id = t.resource_id where ${sizeDiffers}`,
}))

/** "object, image, snapshot or volume". */
const ownersInWords = owners
  .map(({ kind }) => kind)
  .join(', ')
  .replace(/, (?=[^,]*$)/, ' or ')

const unowned = sql.join(
  owners.map(({ table }) => sql`not exists (select 1 from ${sql.table(table)} where resource_id = r.id)`),
  sql` and `,
)

/** The rules of the layer tree (tree.ts, reaper.ts) and of what the services count; each with a query for what breaks it. */
const rules: readonly Rule[] = [
  {
    kind: 'layer_cycle',
    words: ({ id }) => `layer ${id} is its own ancestor`,
    about: 'layer',
    query: sql`with recursive up(id, at) as (
          select id, parent from layers where parent >= id
          union select up.id, layers.parent from up join layers on layers.id = up.at
        ) select distinct id from up where at = id`,
  },
  {
    kind: 'layer_unsealed',
    words: ({ id }) => `layer ${id} has a child but is not sealed`,
    about: 'layer',
    query: sql`select id from layers where sealed = 0 and exists (select 1 from layers c where c.parent = layers.id)`,
  },
  {
    kind: 'layer_dropping',
    words: ({ id }) => `layer ${id} is being dropped but is still part of the tree`,
    about: 'layer',
    query: sql`select id from layers where state = 'dropping' and (parent is not null
          or exists (select 1 from layers c where c.parent = layers.id)
          or exists (select 1 from resources r where r.head_layer = layers.id))`,
  },
  {
    kind: 'head_unsealed',
    words: ({ id }) => `the read-only resource ${id} has a head that is not sealed`,
    about: 'resource',
    query: sql`select r.id from resources r join layers l on l.id = r.head_layer where r.mode = 'ro' and l.sealed = 0`,
  },
  {
    kind: 'head_sealed',
    words: ({ id }) => `the writable resource ${id} has a head that is sealed or shared`,
    about: 'resource',
    query: sql`select r.id from resources r join layers l on l.id = r.head_layer where r.mode = 'rw' and (l.sealed = 1
          or exists (select 1 from resources o where o.head_layer = l.id and o.id <> r.id))`,
  },
  {
    kind: 'limit_wrong',
    words: ({ id, a, b }) => `layer ${id} shows ${a} blocks of its parent, and must show at most ${b}`,
    about: 'layer',
    query: sql`select id, a, b from (
          select id, parent_limit_blocks as a, (select min(most) from (
              select case when l.parent is null then 0 else 9007199254740991 end as most
              union all select (max(size_bytes) + 4095) / 4096 from resources where head_layer = l.id
                having count(*) > 0) as limits) as b
          from layers l) as shown where a > b or a < 0`,
  },
  {
    kind: 'layer_numbers',
    words: ({ id }) => `the next layer would get the number ${id}, which is taken`,
    query: sql`select next as id from sequences where name = 'layers' and next <= (select max(id) from layers)`,
  },
  {
    kind: 'resource_unowned',
    words: ({ id }) => `the resource ${id} belongs to no ${ownersInWords}`,
    query: sql`select id from resources r where ${unowned}`,
  },
  ...resourceSizes,
  {
    kind: 'container_counts',
    words: ({ id, text }) => `the container ${id} (${text}) does not count its objects right`,
    query: sql`select c.id, c.name as text from containers c
          where c.object_count <> (select count(*) from objects where container_id = c.id)
          or c.bytes_used <> (select coalesce(sum(size_bytes), 0) from objects where container_id = c.id)`,
  },
  {
    kind: 'account_counts',
    words: ({ id }) => `the account of the project ${id} does not count its containers and objects right`,
    query: sql`select a.project_id as id from accounts a
          where a.container_count <> (select count(*) from containers where project_id = a.project_id)
          or a.object_count <> (select coalesce(sum(object_count), 0) from containers where project_id = a.project_id)
          or a.bytes_used <> (select coalesce(sum(bytes_used), 0) from containers where project_id = a.project_id)`,
  },
  {
    kind: 'block_counts',
    words: ({ id, text }) => `the project ${id} (${text}) does not count its volumes and snapshots right`,
    query: sql`select p.id, p.name as text from projects p left join block_usage u on u.project_id = p.id
          where coalesce(u.volumes, 0) <> (select count(*) from volumes where project_id = p.id)
          or coalesce(u.volume_gib, 0) <> (select coalesce(sum(size_gib), 0) from volumes where project_id = p.id)
          or coalesce(u.snapshots, 0) <> (select count(*) from snapshots where project_id = p.id and listed = 1)`,
  },
]

/** The first hundred of each kind, and for a kind with more a last one that says how many. */
export async function ruleFindings(db: Reader): Promise<CatalogFinding[]> {
  const findings: CatalogFinding[] = []
  for (const { kind, words, about, query } of rules) {
    const { rows } = await query.execute(db)
    for (const row of rows.slice(0, findingsOfAKind)) {
      const finding: CatalogFinding = { kind, message: words(row) }
      if (about === 'resource') finding.resource = row.id as ResourceId
      if (about === 'layer') finding.layer = row.id as LayerId
      findings.push(finding)
    }
    if (rows.length > findingsOfAKind)
      findings.push({ kind, message: `… and ${rows.length - findingsOfAKind} more of the same kind` })
  }
  return findings
}

/** "Has all of these names with these values", as a condition on a list. */

import { type SelectQueryBuilder, type SqlBool, sql } from 'kysely'
import type { Schema } from '../../catalog/schema.js'
import type { Metadata } from '../model/records.js'

const owners = {
  volume_metadata: 'volume_id',
  snapshot_metadata: 'snapshot_id',
  image_properties: 'image_id',
} as const

export function withMetadata<Table extends keyof Schema, Row>(
  query: SelectQueryBuilder<Schema, Table, Row>,
  id: string,
  table: keyof typeof owners,
  values: Metadata | undefined,
): SelectQueryBuilder<Schema, Table, Row> {
  let filtered = query
  for (const [name, value] of Object.entries(values ?? {})) {
    filtered = filtered.where(
      sql<SqlBool>`exists (select 1 from ${sql.table(table)} as m
        where m.${sql.ref(owners[table])} = ${sql.ref(id)} and m.name = ${name} and m.value = ${value})`,
    )
  }
  return filtered
}

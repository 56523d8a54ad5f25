/**
 * The metadata tables: names and values of one owner each. Their columns differ only in the owner's key, so the queries
 * are written once; the table names come from this file alone.
 */

import { type Kysely, sql } from 'kysely'
import type { Reader } from './types.js'
import { Prepared } from './prepared.js'
import type { MetadataKind } from './schema.js'
import { PreparedIn } from './prepared_in.js'

export type NamedValues = Record<string, string>

/** Tables of names and values, with the column that names the owner. */
const plainTables = {
  image_properties: 'image_id',
  volume_metadata: 'volume_id',
  volume_image_metadata: 'volume_id',
  snapshot_metadata: 'snapshot_id',
  snapshot_image_metadata: 'snapshot_id',
} as const

/** Those that tell the user's metadata from what a door keeps. */
const kindTables = {
  account_metadata: 'project_id',
  container_metadata: 'container_id',
  object_metadata: 'object_id',
} as const

export type PlainTable = keyof typeof plainTables
export type KindTable = keyof typeof kindTables

interface Row {
  owner: string
  name: string
  value: string
}

const rowsPerInsert = 500

const ofEachTable = <Query>(query: (table: PlainTable, key: string) => Query) =>
  Object.fromEntries(
    Object.entries(plainTables).map(([table, key]) => [table, query(table as PlainTable, key)]),
  ) as Readonly<Record<PlainTable, Query>>

const valuesIn = ofEachTable(
  (table, key) =>
    new PreparedIn<Row, string>((db, owners) =>
      sql<Row>`select ${sql.ref(key)} as owner, name, value from ${sql.table(table)}
        where ${sql.ref(key)} in (${sql.join(owners)}) order by owner, name`.compile(db),
    ),
)

const weightsIn = ofEachTable(
  (table, key) =>
    new PreparedIn<{ owner: string; bytes: number }, string>((db, owners) =>
      sql<{ owner: string; bytes: number }>`select ${sql.ref(key)} as owner,
        sum(octet_length(name) + octet_length(value)) as bytes from ${sql.table(table)}
        where ${sql.ref(key)} in (${sql.join(owners)}) group by ${sql.ref(key)}`.compile(db),
    ),
)

/** Of many owners at once; an owner without any is not in the map. */
export async function valuesOf<Id extends string>(
  db: Reader,
  table: PlainTable,
  owners: readonly Id[],
): Promise<Map<Id, NamedValues>> {
  const pairs = new Map<Id, [string, string][]>()
  for (const { owner, name, value } of await valuesIn[table].all(db, owners)) {
    const list = pairs.get(owner as Id)
    if (list) list.push([name, value])
    else pairs.set(owner as Id, [[name, value]])
  }
  // fromEntries defines properties: a name like __proto__ is one as any other.
  return new Map([...pairs].map(([owner, list]) => [owner, Object.fromEntries(list)]))
}

/** The bytes of the names and values of each owner, without reading them; an owner without any is not in the map. */
export async function weightsOf<Id extends string>(
  db: Reader,
  tables: readonly PlainTable[],
  owners: readonly Id[],
): Promise<Map<Id, number>> {
  const weights = new Map<Id, number>()
  for (const table of tables) {
    for (const { owner, bytes } of await weightsIn[table].all(db, owners)) {
      weights.set(owner as Id, (weights.get(owner as Id) ?? 0) + Number(bytes))
    }
  }
  return weights
}

/** Makes these the owner's only ones. In a transaction. */
export async function replaceValues(db: Reader, table: PlainTable, owner: string, values: NamedValues): Promise<void> {
  const key = plainTables[table]
  await sql`delete from ${sql.table(table)} where ${sql.ref(key)} = ${owner}`.execute(db)
  await insertValues(db, table, owner, values)
}

/** Returns the new set of values for the current one. May be called more than once; if it throws, nothing changes. */
export type ValuesEdit = (values: NamedValues) => NamedValues

/** Changes the owner's values by `edit`, and returns the outcome. In a transaction. */
export async function editValues(db: Reader, table: PlainTable, owner: string, edit: ValuesEdit): Promise<NamedValues> {
  const edited = edit((await valuesOf(db, table, [owner])).get(owner) ?? {})
  await replaceValues(db, table, owner, edited)
  return edited
}

/** For an owner that has none yet. */
export async function insertValues(db: Reader, table: PlainTable, owner: string, values: NamedValues): Promise<void> {
  const key = plainTables[table]
  const rows = Object.entries(values).map(([name, value]) => ({ [key]: owner, name, value }))
  await insertRows(db, table, rows)
}

/** Columns under which a query may join a table of kinds. */
export interface KindColumns {
  kind: MetadataKind | null
  kind_name: string
  kind_value: string
}

export const kindColumns = sql`kinds.kind, kinds.name as kind_name, kinds.value as kind_value`

/** `left join` of what the owner has; order by `kinds.kind, kinds.name`. */
export const joinKinds = (table: KindTable, owner: string) =>
  sql`left join ${sql.table(table)} as kinds on kinds.${sql.ref(kindTables[table])} = ${sql.ref(owner)}`

const kindsByOwner = (table: KindTable) =>
  new Prepared<KindColumns, [owner: string]>((db) =>
    sql<KindColumns>`select ${kindColumns} from ${sql.table(table)} as kinds
      where kinds.${sql.ref(kindTables[table])} = ${''} order by kinds.kind, kinds.name`.compile(db),
  )
const kindsBy: Readonly<Record<KindTable, ReturnType<typeof kindsByOwner>>> = {
  account_metadata: kindsByOwner('account_metadata'),
  container_metadata: kindsByOwner('container_metadata'),
  object_metadata: kindsByOwner('object_metadata'),
}

/** What an owner has of both kinds. */
export interface Kinds {
  metadata: NamedValues
  headers: NamedValues
}

export async function kindsOf(db: Reader, table: KindTable, owner: string): Promise<Kinds> {
  return kindsIn(await kindsBy[table].all(db, owner))
}

/** From the rows of one owner: the table itself, or the columns of a left join (null where it has none). */
export function kindsIn(rows: readonly KindColumns[]): Kinds {
  const of = (kind: MetadataKind) =>
    Object.fromEntries(rows.filter((row) => row.kind === kind).map((row) => [row.kind_name, row.kind_value]))
  return { metadata: of('meta'), headers: of('header') }
}

interface KindSets {
  metadata?: NamedValues | undefined
  headers?: NamedValues | undefined
}

/** What is given replaces the owner's whole set of that kind. */
export async function replaceKinds(db: Reader, table: KindTable, owner: string, sets: KindSets): Promise<void> {
  const key = kindTables[table]
  for (const [kind, values] of [
    ['meta', sets.metadata],
    ['header', sets.headers],
  ] as const) {
    if (values === undefined) continue
    await sql`delete from ${sql.table(table)} where ${sql.ref(key)} = ${owner} and kind = ${kind}`.execute(db)
  }
  await insertKinds(db, table, owner, sets)
}

/** For an owner that has none yet. */
export async function insertKinds(
  db: Reader,
  table: KindTable,
  owner: string,
  { metadata = {}, headers = {} }: KindSets,
): Promise<void> {
  const rows = (kind: MetadataKind, values: NamedValues) =>
    Object.entries(values).map(([name, value]) => ({ [kindTables[table]]: owner, kind, name, value }))
  await insertRows(db, table, [...rows('meta', metadata), ...rows('header', headers)])
}

async function insertRows(db: Reader, table: PlainTable | KindTable, rows: Record<string, string>[]): Promise<void> {
  for (let i = 0; i < rows.length; i += rowsPerInsert) {
    await (db as unknown as Kysely<Record<string, Record<string, string>>>)
      .insertInto(table)
      .values(rows.slice(i, i + rowsPerInsert))
      .execute()
  }
}

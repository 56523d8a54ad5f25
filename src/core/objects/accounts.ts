/** Accounts of object storage: one for each project, there from the first write on. The door's name for it is `AUTH_<project id>`. */

import { sql } from 'kysely'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import {
  joinKinds,
  type KindColumns,
  type KindTable,
  kindColumns,
  kindsIn,
  kindsOf,
  replaceKinds,
} from '../../catalog/named_values.js'
import { Prepared } from '../../catalog/prepared.js'
import type { AccountRow, ContainerRow } from '../../catalog/schema.js'
import type { ProjectId } from '../../lib/ids.js'
import { type ListingQuery, listNames, mapListed } from '../lists/listing.js'
import { NamedRows } from '../lists/named_rows.js'
import type { SlicePace } from '../lists/slices.js'
import { AccountForbidden, AccountNotFound } from '../model/errors.js'
import type { Account, ContainerSummary, KeptHeaders, Listed, Metadata, ProjectCaller } from '../model/records.js'
import { mayWrite, sees } from '../policy/access.js'

/** What a POST changes. Names are lower case; a name in `remove*` goes, one in `set*` is put, the others stay. */
export interface MetadataChange {
  setMetadata?: Metadata | undefined
  removeMetadata?: string[] | undefined
  setHeaders?: KeptHeaders | undefined
  removeHeaders?: string[] | undefined
  /** Sees the metadata as they would be; what it throws refuses the change. May be called more than once. */
  checkMetadata?: ((metadata: Metadata) => void) | undefined
}

export class Accounts {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** Throws AccountForbidden (403) for another project's account, AccountNotFound when an admin names an unknown project. */
  async get(caller: ProjectCaller, projectId: string): Promise<Account> {
    const { db } = this.#catalog
    const id = await accountOf(db, caller, projectId)
    // One query, so that the counters and the metadata are of one moment.
    const rows = await accountBy.all(db, id)
    const [row] = rows
    const { metadata, headers } = kindsIn(rows)
    return {
      projectId: id,
      containerCount: row?.container_count ?? 0,
      objectCount: row?.object_count ?? 0,
      bytesUsed: row?.bytes_used ?? 0,
      metadata,
      headers,
      createdAt: row?.created_at ?? null,
    }
  }

  async update(caller: ProjectCaller, projectId: string, change: MetadataChange): Promise<void> {
    mayWrite(caller)
    await this.#catalog.transaction(async (tx) => {
      const id = await accountOf(tx.db, caller, projectId)
      await ensureAccount(tx, id)
      await changeKinds(tx.db, 'account_metadata', id, change)
    })
  }

  /** Containers by name, slice by slice. */
  async *list(
    caller: ProjectCaller,
    projectId: string,
    query: ListingQuery,
    pace?: SlicePace,
  ): AsyncGenerator<Listed<ContainerSummary>[], void, void> {
    const { db } = this.#catalog
    const id = await accountOf(db, caller, projectId)
    const names = listNames(query, (bounds) => listedContainers.fetch(db, id, bounds), pace)
    yield* mapListed(names, toSummary)
  }
}

const accountBy = new Prepared<AccountRow & KindColumns, [id: ProjectId]>((db) =>
  sql<
    AccountRow & KindColumns
  >`select accounts.*, ${kindColumns} from accounts ${joinKinds('account_metadata', 'accounts.project_id')}
    where accounts.project_id = ${''} order by kinds.kind, kinds.name`.compile(db),
)

const projectBy = new Prepared<{ id: ProjectId }, [id: string]>((db) =>
  db
    .selectFrom('projects')
    .select('id')
    .where('id', '=', '' as ProjectId)
    .where('is_domain', '=', sql.lit(0))
    .compile(),
)

/** The project of the account, if the caller may see it; `container`: what of the account is meant, the account itself if undefined. */
export async function accountOf(
  db: Reader,
  caller: ProjectCaller,
  projectId: string,
  container?: string,
): Promise<ProjectId> {
  if (!sees(caller, projectId)) throw new AccountForbidden(`AUTH_${projectId}`)
  if (caller.grant !== undefined) await caller.grant.require(db, container)
  if (caller.project.id === projectId) return caller.project.id
  const project = await projectBy.first(db, projectId)
  if (project === undefined) throw new AccountNotFound(`AUTH_${projectId}`)
  return project.id
}

export async function ensureAccount({ db }: Transaction, id: ProjectId): Promise<void> {
  await db
    .insertInto('accounts')
    .values({ project_id: id, container_count: 0, object_count: 0, bytes_used: 0, created_at: Date.now() })
    .onConflict((conflict) => conflict.column('project_id').doNothing())
    .execute()
}

export async function changeKinds(db: Reader, table: KindTable, owner: string, change: MetadataChange): Promise<void> {
  const { metadata, headers } = await kindsOf(db, table, owner)
  const next = changed(metadata, change.setMetadata, change.removeMetadata)
  change.checkMetadata?.(next ?? metadata)
  await replaceKinds(db, table, owner, {
    metadata: next,
    headers: changed(headers, change.setHeaders, change.removeHeaders),
  })
}

/** undefined: nothing changes. */
function changed(values: Metadata, set: Metadata | undefined, remove: string[] | undefined): Metadata | undefined {
  if (set === undefined && remove === undefined) return undefined
  const next = new Map(Object.entries(values))
  for (const name of remove ?? []) next.delete(name)
  for (const [name, value] of Object.entries(set ?? {})) next.set(name, value)
  return Object.fromEntries(next)
}

const listedContainers = new NamedRows('containers', 'project_id', ['name', 'object_count', 'bytes_used', 'updated_at'])

type ListedContainer = Pick<ContainerRow, 'name' | 'object_count' | 'bytes_used' | 'updated_at'>

export const toSummary = (row: ListedContainer): ContainerSummary => ({
  name: row.name,
  objectCount: row.object_count,
  bytesUsed: row.bytes_used,
  updatedAt: row.updated_at,
})

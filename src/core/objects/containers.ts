/** Containers of an account. */

import { sql } from 'kysely'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import { joinKinds, type KindColumns, kindColumns, kindsIn, replaceKinds } from '../../catalog/named_values.js'
import { Prepared } from '../../catalog/prepared.js'
import type { ContainerRow, ObjectRow } from '../../catalog/schema.js'
import { type ContainerId, newContainerId, type ProjectId } from '../../lib/ids.js'
import { type ListingQuery, listingPace, listNames, mapListed } from '../lists/listing.js'
import { NamedRows } from '../lists/named_rows.js'
import type { SlicePace } from '../lists/slices.js'
import { ContainerNotEmpty, ContainerNotFound, InvalidArgument, LargeObjectTooLong } from '../model/errors.js'
import { parseIndirection } from '../model/indirection.js'
import type { Container, KeptHeaders, Listed, Metadata, ObjectSummary, ProjectCaller } from '../model/records.js'
import { mayWrite } from '../policy/access.js'
import { accountOf, changeKinds, ensureAccount, type MetadataChange, toSummary } from './accounts.js'

export interface ContainerRef {
  projectId: string
  container: string
}

const nameBytesMax = 256

export class Containers {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** Makes the container, or changes the metadata of the one that is there. Throws InvalidArgument for the name. */
  async put(
    caller: ProjectCaller,
    ref: ContainerRef,
    options: {
      metadata?: Metadata | undefined
      headers?: KeptHeaders | undefined
      change?: MetadataChange | undefined
    } = {},
  ): Promise<{ created: boolean }> {
    mayWrite(caller)
    checkName(ref.container)
    const { metadata, headers, change = { setMetadata: metadata, setHeaders: headers } } = options
    return this.#catalog.transaction(async (tx) => {
      const projectId = await accountOf(tx.db, caller, ref.projectId, ref.container)
      const found = await findContainer(tx.db, projectId, ref.container)
      const id = found?.id ?? (await insertContainer(tx, projectId, ref.container))
      await changeKinds(tx.db, 'container_metadata', id, change)
      if (found !== undefined) await touch(tx, id)
      return { created: found === undefined }
    })
  }

  /** Throws ContainerNotFound. */
  async get(caller: ProjectCaller, ref: ContainerRef): Promise<Container> {
    const { db } = this.#catalog
    // One query, so that the container and its metadata are of one moment.
    const rows = await containerWithKinds.all(
      db,
      await accountOf(db, caller, ref.projectId, ref.container),
      ref.container,
    )
    const [row] = rows
    if (row === undefined) throw new ContainerNotFound(ref.container)
    const { metadata, headers } = kindsIn(rows)
    return {
      ...toSummary(row),
      id: row.id,
      projectId: row.project_id,
      metadata,
      headers,
      createdAt: row.created_at,
    }
  }

  async update(caller: ProjectCaller, ref: ContainerRef, change: MetadataChange): Promise<void> {
    mayWrite(caller)
    await this.#catalog.transaction(async (tx) => {
      const { id } = await containerRow(tx.db, caller, ref)
      await changeKinds(tx.db, 'container_metadata', id, change)
      await touch(tx, id)
    })
  }

  /** Throws ContainerNotFound, ContainerNotEmpty. */
  async delete(caller: ProjectCaller, ref: ContainerRef): Promise<void> {
    mayWrite(caller)
    await this.#catalog.reservedTransaction(async (tx) => {
      const row = await containerRow(tx.db, caller, ref)
      if (row.object_count > 0) throw new ContainerNotEmpty(row.name)
      await replaceKinds(tx.db, 'container_metadata', row.id, { metadata: {}, headers: {} })
      await tx.db.deleteFrom('containers').where('id', '=', row.id).execute()
      await tx.db
        .updateTable('accounts')
        .set((e) => ({ container_count: e('container_count', '-', 1) }))
        .where('project_id', '=', row.project_id)
        .execute()
    })
  }

  /** Objects by name, slice by slice. Throws ContainerNotFound, AccountForbidden. */
  async *list(
    caller: ProjectCaller,
    ref: ContainerRef,
    query: ListingQuery,
    pace?: SlicePace,
  ): AsyncGenerator<Listed<ObjectSummary>[], void, void> {
    const { db } = this.#catalog
    const { id } = await containerRow(db, caller, ref)
    const names = listNames(query, (bounds) => listedObjects.fetch(db, id, bounds, Date.now()), pace)
    yield* mapListed(names, toObjectSummary)
  }
}

/** Throws ContainerNotFound, AccountForbidden. */
export async function containerRow(db: Reader, caller: ProjectCaller, ref: ContainerRef): Promise<ContainerRow> {
  const row = await findContainer(db, await accountOf(db, caller, ref.projectId, ref.container), ref.container)
  if (row === undefined) throw new ContainerNotFound(ref.container)
  return row
}

type ListedObject = Pick<ObjectRow, 'name' | 'size_bytes' | 'md5' | 'content_type' | 'updated_at' | 'indirection'>

export const toObjectSummary = (row: ListedObject): ObjectSummary => ({
  name: row.name,
  sizeBytes: row.size_bytes,
  md5: row.md5,
  contentType: row.content_type,
  updatedAt: row.updated_at,
  indirection: parseIndirection(row.indirection),
})

/** An object of a dynamic large object. */
export type SegmentRow = Pick<ObjectSummary, 'name' | 'sizeBytes' | 'md5' | 'indirection'>

/** Objects whose names begin with `prefix`, by name. Throws ContainerNotFound, LargeObjectTooLong. */
export async function segmentsOf(
  db: Reader,
  caller: ProjectCaller,
  ref: ContainerRef,
  { prefix, max }: { prefix: string; max: number },
): Promise<SegmentRow[]> {
  const { id } = await containerRow(db, caller, ref)
  const segments: SegmentRow[] = []
  const now = Date.now()
  const pace = listingPace()
  const names = listNames({ prefix, limit: max }, (bounds) => listedObjects.fetch(db, id, bounds, now), pace)
  for await (const slice of mapListed(names, toObjectSummary)) {
    for (const line of slice) if (line.kind === 'item') segments.push(line.item)
    // The event loop serves others between two slices.
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (segments.length === max) throw new LargeObjectTooLong(String(max - 1))
  return segments
}

/** The counters of a container and its account, in the transaction that changes its objects. */
export async function count(
  { db }: Transaction,
  container: ContainerRow,
  change: { objects: number; bytes: number },
): Promise<void> {
  await countInContainer.run(db, change.objects, change.bytes, container.id)
  await countInAccount.run(db, change.objects, change.bytes, container.project_id)
}

const counterOf = <Id extends string>(table: 'containers' | 'accounts', key: 'id' | 'project_id') =>
  new Prepared<never, [objects: number, bytes: number, owner: Id]>((db) =>
    sql<never>`update ${sql.table(table)} set object_count = object_count + ${0}, bytes_used = bytes_used + ${0}
      where ${sql.ref(key)} = ${''}`.compile(db),
  )
const countInContainer = counterOf<ContainerId>('containers', 'id')
const countInAccount = counterOf<ProjectId>('accounts', 'project_id')

function checkName(name: string): void {
  if (name === '' || name.includes('/') || name.includes('\0') || Buffer.byteLength(name) > nameBytesMax) {
    throw new InvalidArgument(`a container's name has 1 to ${nameBytesMax} bytes and no slash`)
  }
}

const containerBy = new Prepared<ContainerRow, [project: ProjectId, name: string]>((db) =>
  db
    .selectFrom('containers')
    .selectAll()
    .where('project_id', '=', '' as ProjectId)
    .where('name', '=', '')
    .compile(),
)

const containerWithKinds = new Prepared<ContainerRow & KindColumns, [project: ProjectId, name: string]>((db) =>
  sql<ContainerRow & KindColumns>`select containers.*, ${kindColumns} from containers
    ${joinKinds('container_metadata', 'containers.id')}
    where containers.project_id = ${''} and containers.name = ${''} order by kinds.kind, kinds.name`.compile(db),
)

export async function containerById(db: Reader, id: ContainerId): Promise<ContainerRow> {
  return db.selectFrom('containers').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

/** Makes the container if the project has none of this name. */
export async function ensureContainer(tx: Transaction, projectId: ProjectId, name: string): Promise<ContainerRow> {
  const found = await findContainer(tx.db, projectId, name)
  return found ?? containerById(tx.db, await insertContainer(tx, projectId, name))
}

function findContainer(db: Reader, projectId: ProjectId, name: string): Promise<ContainerRow | undefined> {
  return containerBy.first(db, projectId, name)
}

async function insertContainer(tx: Transaction, projectId: ProjectId, name: string): Promise<ContainerId> {
  await ensureAccount(tx, projectId)
  const id = newContainerId()
  const now = Date.now()
  await tx.db
    .insertInto('containers')
    .values({ id, project_id: projectId, name, object_count: 0, bytes_used: 0, created_at: now, updated_at: now })
    .execute()
  await tx.db
    .updateTable('accounts')
    .set((e) => ({ container_count: e('container_count', '+', 1) }))
    .where('project_id', '=', projectId)
    .execute()
  return id
}

async function touch({ db }: Transaction, id: ContainerId): Promise<void> {
  await db.updateTable('containers').set({ updated_at: Date.now() }).where('id', '=', id).execute()
}

const listedObjects = new NamedRows(
  'objects',
  'container_id',
  ['name', 'size_bytes', 'md5', 'content_type', 'updated_at', 'indirection'],
  { expires: true },
)

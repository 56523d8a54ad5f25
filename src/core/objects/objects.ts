/** Objects: put, get, head, post, delete, copy. A copy moves no data. */

import { sql } from 'kysely'
import type { Catalog } from '../../catalog/catalog.js'
import type { Reader, Transaction } from '../../catalog/types.js'
import {
  insertKinds,
  joinKinds,
  type KindColumns,
  kindColumns,
  kindsIn,
  replaceKinds,
} from '../../catalog/named_values.js'
import { Prepared, PreparedInsert } from '../../catalog/prepared.js'
import type { ContainerRow, ObjectRow } from '../../catalog/schema.js'
import { type ContainerId, newObjectId, type ProjectId, type ResourceId } from '../../lib/ids.js'
import { mayWrite } from '../policy/access.js'
import { accountOf } from './accounts.js'
import { type ContainerRef, containerRow, count, toObjectSummary } from './containers.js'
import {
  ChecksumMismatch,
  InvalidArgument,
  ObjectExists,
  ObjectNotFound,
  UploadTooLarge,
  UploadTruncated,
} from '../model/errors.js'
import { type ByteRange, type OpenData, openBytes, openCurrent, openData } from '../tree/open_data.js'
import type { ByteSource, KeptHeaders, Metadata, ProjectCaller, StoredObject } from '../model/records.js'
import { requireStill } from '../policy/rights.js'
import { requireQuotas } from './quotas.js'
import { settingsOf } from './settings.js'
import type { ObjectRef } from '../model/object_ref.js'
import { type DynamicIndirection, type Indirection, indirectionText } from '../model/indirection.js'
import { SmallContent, smallBytesMax } from './small_content.js'
import type { Tree } from '../tree/tree.js'

export type { ByteRange, ObjectRef, OpenData }

export interface PutObject {
  body: ByteSource
  /** Content-Length; the upload must have exactly so many bytes (else UploadTruncated). */
  lengthBytes?: number | undefined
  /** The MD5 that the client expects (32 hexadecimal digits): ChecksumMismatch (422) otherwise, and nothing is stored. */
  md5?: string | undefined
  /** UploadTooLarge beyond. */
  maxBytes?: number | undefined
  contentType: string
  metadata?: Metadata | undefined
  headers?: KeptHeaders | undefined
  /** If-None-Match: * - ObjectExists (412) when there is one, judged again when the upload ends. */
  onlyIfNew?: boolean | undefined
  /** What it stands for (default: its own bytes). */
  indirection?: Indirection | undefined
  /** Default: never. */
  expiresAt?: number | undefined
  signal?: AbortSignal | undefined
}

export interface CopyOptions {
  metadata?: Metadata | undefined
  headers?: KeptHeaders | undefined
  contentType?: string | undefined
  /** The source's metadata and headers are left behind; otherwise the given ones are added to them. */
  fresh?: boolean | undefined
  onlyIfNew?: boolean | undefined
  /** Default: that of the source. */
  indirection?: Indirection | undefined
  /** Default: that of the source, unless `fresh`. */
  expiresAt?: number | undefined
  /** Sees the source that is copied; what it throws refuses the copy. May be called more than once. */
  checkSource?: ((source: StoredObject) => void) | undefined
  /** Whose rights the source is read with; the caller's if absent. */
  reader?: ProjectCaller | undefined
  /** The same for the metadata of the copy. */
  checkMetadata?: ((metadata: Metadata) => void) | undefined
}

export interface OpenObject extends OpenData {
  object: StoredObject
}

export const objectNameBytesMax = 1024

export class Objects {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #small = new SmallContent()

  constructor(catalog: Catalog, tree: Tree) {
    this.#catalog = catalog
    this.#tree = tree
  }

  /** Throws ContainerNotFound, UploadTruncated, ChecksumMismatch, UploadTooLarge, ObjectExists; a failed or aborted upload leaves nothing. */
  async put(caller: ProjectCaller, ref: ObjectRef, upload: PutObject): Promise<StoredObject> {
    mayWrite(caller)
    checkName(ref.object)
    const { lengthBytes, maxBytes, md5, onlyIfNew, signal } = upload
    if (maxBytes !== undefined && lengthBytes !== undefined && lengthBytes > maxBytes)
      throw new UploadTooLarge(maxBytes)
    // Refused before the bytes are sent; judged again when they are stored.
    const container = await containerRow(this.#catalog.db, caller, ref)
    if (onlyIfNew && isThere(await findObject(this.#catalog.db, container.id, ref.object)))
      throw new ObjectExists(ref.object)

    const judge = (totalBytes: number) => {
      if (maxBytes !== undefined && totalBytes > maxBytes) throw new UploadTooLarge(maxBytes)
      if (lengthBytes !== undefined && totalBytes > lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
    }
    const judgeEnd = (totalBytes: number) => {
      if (lengthBytes !== undefined && totalBytes !== lengthBytes) throw new UploadTruncated(totalBytes, lengthBytes)
    }
    return this.#tree.createFromIngest(upload.body, { judge, judgeEnd, signal }, async (tx, resourceId, result) => {
      await requireStill(tx.db, caller)
      if (md5 !== undefined && md5.toLowerCase() !== result.md5) throw new ChecksumMismatch(result.md5, md5)
      return this.#store(tx, caller, ref, {
        resourceId,
        sizeBytes: result.sizeBytes,
        md5: result.md5,
        sha256: result.sha256,
        contentType: upload.contentType,
        metadata: upload.metadata ?? {},
        headers: upload.headers ?? {},
        indirection: upload.indirection ?? null,
        expiresAt: upload.expiresAt ?? null,
        onlyIfNew,
      })
    })
  }

  /** Throws ContainerNotFound, ObjectNotFound. */
  async head(caller: ProjectCaller, ref: ObjectRef): Promise<StoredObject> {
    return readObject(this.#catalog.db, caller, ref)
  }

  /** For reading. The caller must close it. */
  async open(caller: ProjectCaller, ref: ObjectRef): Promise<OpenObject> {
    return openCurrent(`the object ${ref.object}`, async () => {
      const object = await readObject(this.#catalog.db, caller, ref)
      return { object, ...(await this.openStored(object)) }
    })
  }

  /** What the object itself stores. The caller must close it. Throws ResourceNotFound if it was deleted or replaced meanwhile. */
  async openStored(object: StoredObject): Promise<OpenData> {
    if (object.sizeBytes <= smallBytesMax) return openBytes(await this.#bytesOf(object))
    return openData(this.#tree, object)
  }

  /** POST: metadata is replaced as a whole; what else is given, too. Returns what the object stands for. */
  async update(
    caller: ProjectCaller,
    ref: ObjectRef,
    change: {
      metadata: Metadata
      headers?: KeptHeaders | undefined
      contentType?: string | undefined
      expiresAt?: number | null | undefined
      /** Makes it a dynamic large object, or no longer one; other kinds of indirection stay. */
      dynamic?: DynamicIndirection | null | undefined
    },
  ): Promise<{ indirection: Indirection | null }> {
    mayWrite(caller)
    return this.#catalog.transaction(async ({ db }) => {
      const { row } = await objectRow(db, caller, ref)
      await replaceKinds(db, 'object_metadata', row.id, change)
      const { indirection: before } = toObjectSummary(row)
      const stays = change.dynamic === undefined || before?.kind === 'static' || before?.kind === 'link'
      const indirection = stays ? before : (change.dynamic ?? null)
      await db
        .updateTable('objects')
        .set({
          updated_at: Date.now(),
          content_type: change.contentType ?? row.content_type,
          indirection: indirectionText(indirection),
          expires_at: change.expiresAt === undefined ? row.expires_at : change.expiresAt,
        })
        .where('id', '=', row.id)
        .execute()
      return { indirection }
    })
  }

  /** `check` sees when it expires; what it throws refuses the deletion. Throws ContainerNotFound, ObjectNotFound. */
  async delete(
    caller: ProjectCaller,
    ref: ObjectRef,
    { check }: { check?: (object: { expiresAt: number | null }) => void } = {},
  ): Promise<void> {
    mayWrite(caller)
    await this.#catalog.reservedTransaction(async (tx) => {
      const { container, row } = await objectRow(tx.db, caller, ref)
      check?.({ expiresAt: row.expires_at })
      await this.#remove(tx, container, row)
    })
  }

  /** Deletes at most so many objects whose time has come, and returns their number. */
  async deleteExpired(now: number, limit: number): Promise<number> {
    return this.#catalog.reservedTransaction(async (tx) => {
      const rows = await tx.db
        .selectFrom('objects')
        .selectAll()
        .where('expires_at', '<=', now)
        .orderBy('expires_at')
        .limit(limit)
        .execute()
      for (const row of rows) {
        const container = await tx.db
          .selectFrom('containers')
          .selectAll()
          .where('id', '=', row.container_id)
          .executeTakeFirstOrThrow()
        await this.#remove(tx, container, row)
      }
      return rows.length
    })
  }

  /** In O(1). `to` may be `from` (then it changes metadata). */
  async copy(
    caller: ProjectCaller,
    { from, to }: { from: ObjectRef; to: ObjectRef },
    options: CopyOptions = {},
  ): Promise<{ source: StoredObject; copy: StoredObject }> {
    mayWrite(caller)
    checkName(to.object)
    const { fresh = false, onlyIfNew } = options
    return this.#catalog.transaction(async (tx) => {
      const source = await readObject(tx.db, options.reader ?? caller, from)
      options.checkSource?.(source)
      const metadata = { ...(fresh ? {} : source.metadata), ...options.metadata }
      options.checkMetadata?.(metadata)
      const copy = await this.#store(tx, caller, to, {
        resourceId: await this.#tree.copy(tx, source.resourceId),
        sizeBytes: source.sizeBytes,
        md5: source.md5,
        sha256: source.sha256,
        contentType: options.contentType ?? source.contentType,
        metadata,
        headers: { ...(fresh ? {} : source.headers), ...options.headers },
        indirection: options.indirection ?? source.indirection,
        expiresAt: options.expiresAt ?? (fresh ? null : source.expiresAt),
        onlyIfNew,
      })
      return { source, copy }
    })
  }

  /** Of an object that the catalog has just named. */
  async #bytesOf({ resourceId, sizeBytes }: StoredObject): Promise<Buffer> {
    const known = this.#small.get(resourceId)
    if (known !== undefined) return known
    const bytes = await this.#tree.readAll(resourceId, sizeBytes)
    this.#small.keep(resourceId, bytes)
    return bytes
  }

  /** Puts the row in the place of the one that may be there. */
  async #store(
    tx: Transaction,
    caller: ProjectCaller,
    ref: ObjectRef,
    object: Pick<
      StoredObject,
      | 'resourceId'
      | 'sizeBytes'
      | 'md5'
      | 'sha256'
      | 'contentType'
      | 'metadata'
      | 'headers'
      | 'indirection'
      | 'expiresAt'
    > & {
      onlyIfNew: boolean | undefined
    },
  ): Promise<StoredObject> {
    const container = await containerRow(tx.db, caller, ref)
    const before = await findObject(tx.db, container.id, ref.object)
    if (before !== undefined) {
      if (object.onlyIfNew && isThere(before)) throw new ObjectExists(ref.object)
      await this.#remove(tx, container, before)
    }
    const now = Date.now()
    const row: ObjectRow = {
      id: newObjectId(),
      container_id: container.id,
      name: ref.object,
      resource_id: object.resourceId,
      size_bytes: object.sizeBytes,
      md5: object.md5,
      sha256: object.sha256,
      content_type: object.contentType,
      created_at: now,
      updated_at: now,
      indirection: indirectionText(object.indirection),
      expires_at: object.expiresAt,
    }
    await objectInsert.run(tx.db, row)
    await insertKinds(tx.db, 'object_metadata', row.id, object)
    await count(tx, container, { objects: 1, bytes: row.size_bytes })
    await requireQuotas(tx.db, await settingsOf(tx.db, container.project_id, container.name), container)
    return toStoredObject(row, object)
  }

  async #remove(tx: Transaction, container: ContainerRow, row: ObjectRow): Promise<void> {
    await tx.db.deleteFrom('objects').where('id', '=', row.id).execute()
    await count(tx, container, { objects: -1, bytes: -row.size_bytes })
    await this.#tree.release(tx, row.resource_id)
  }
}

function checkName(name: string): void {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > objectNameBytesMax) {
    throw new InvalidArgument(`an object's name has 1 to ${objectNameBytesMax} bytes`)
  }
}

const objectBy = new Prepared<ObjectRow, [container: ContainerId, name: string]>((db) =>
  db
    .selectFrom('objects')
    .selectAll()
    .where('container_id', '=', '' as ContainerId)
    .where('name', '=', '')
    .compile(),
)

export const objectInsert = new PreparedInsert('objects', [
  'id',
  'container_id',
  'name',
  'resource_id',
  'size_bytes',
  'md5',
  'sha256',
  'content_type',
  'created_at',
  'updated_at',
  'indirection',
  'expires_at',
])

/** Not one that has expired, and only waits to be deleted. */
function isThere(row: ObjectRow | undefined): row is ObjectRow {
  return row !== undefined && (row.expires_at === null || row.expires_at > Date.now())
}

export function findObject(db: Reader, container: ContainerId, name: string): Promise<ObjectRow | undefined> {
  return objectBy.first(db, container, name)
}

async function objectRow(
  db: Reader,
  caller: ProjectCaller,
  ref: ObjectRef & ContainerRef,
): Promise<{ container: ContainerRow; row: ObjectRow }> {
  const container = await containerRow(db, caller, ref)
  const row = await findObject(db, container.id, ref.object)
  if (!isThere(row)) throw new ObjectNotFound(ref.object)
  return { container, row }
}

/** The object by all of its names, with its metadata: one query, so that they are of one moment. */
const objectByPath = new Prepared<ObjectRow & KindColumns, [project: ProjectId, container: string, object: string]>(
  (db) =>
    sql<ObjectRow & KindColumns>`select objects.*, ${kindColumns} from objects
    join containers on containers.id = objects.container_id ${joinKinds('object_metadata', 'objects.id')}
    where containers.project_id = ${''} and containers.name = ${''} and objects.name = ${''}
    order by kinds.kind, kinds.name`.compile(db),
)

/** Throws ContainerNotFound, ObjectNotFound. */
export async function readObject(db: Reader, caller: ProjectCaller, ref: ObjectRef): Promise<StoredObject> {
  const rows = await objectByPath.all(
    db,
    await accountOf(db, caller, ref.projectId, ref.container),
    ref.container,
    ref.object,
  )
  const [row] = rows
  // Which of the two is missing is found by asking for one after the other.
  if (!isThere(row)) {
    await containerRow(db, caller, ref)
    throw new ObjectNotFound(ref.object)
  }
  return toStoredObject(row, kindsIn(rows))
}

function toStoredObject(row: ObjectRow, kept: { metadata: Metadata; headers: KeptHeaders }): StoredObject {
  return {
    ...toObjectSummary(row),
    id: row.id,
    resourceId: row.resource_id as ResourceId,
    sha256: row.sha256,
    metadata: kept.metadata,
    headers: kept.headers,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }
}

/**
 * What the two NBD doors show. Not for the HTTP doors.
 *
 *   operator (unix socket, guarded by file permissions): every volume, snapshot and image, by its ID or its unique name
 *     (export_names.ts); LIST shows the IDs
 *   tenant (TCP): the exports of attachments, by their names; LIST is refused
 *
 * An attachment is served as long as its user may write in its project (rights.ts). `open` asks the catalog; connections that are there
 * already are ended by the watch (rights_watch.ts), which knows every name that was opened.
 *
 * Whoever deletes one of them deletes the row under the resource's lock and calls `end` afterwards. `open` looks at the row
 * once more under the same lock: it either comes first, and `end` finds its connection, or finds no row. The operator's names
 * are replaced by IDs (`find`) before that: `open`, `contexts` and `end` see only IDs and the names of attachments.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import type { Engine } from '../../engine/engine.js'
import type {
  ContextQueries,
  ExportContext,
  ExportResolver,
  ExportTarget,
  FoundExport,
  NbdDoor,
  RequestFailure,
  TlsFailure,
} from '../../engine/nbd.js'
import { EngineUnsupported } from '../../addon/errors.js'
import { AtollError, asError } from '../../lib/errors.js'
import { isUuid, newSecret, type ProjectId, type ResourceId, type UserId, type VolumeId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import { NothingNamed, ResourceNotFound } from '../model/errors.js'
import { ExportContexts } from './export_contexts.js'
import { findNamed } from './export_names.js'
import { servesAttachment } from '../policy/rights.js'
import type { RightsWatch } from '../policy/rights_watch.js'
import { exportedOwners } from '../tree/owners.js'
import type { Tree } from '../tree/tree.js'

/** Where tenants' machines reach the NBD server. */
export interface TenantAddress {
  host: string
  port: number
  /** undefined: it has no TLS. */
  tls?: TenantTls | undefined
}

/** What a client must bring, or may. */
export interface TenantTls {
  mode: 'opportunistic' | 'required'
  /** The server shows a certificate. */
  x509: boolean
  clientCertificate: 'none' | 'optional' | 'required'
  /** The client may come with a pre-shared key. */
  psk: boolean
}

/** An export's name is 43 characters; ids are 36. */
const nameLengthMax = 64

export class Exports implements ExportResolver {
  /** undefined: there is no TCP door, and nothing can be attached. */
  tenantAddress: TenantAddress | undefined
  readonly #catalog: Catalog
  readonly #engine: Engine
  readonly #tree: Tree
  readonly #log: Logger
  readonly #contexts: ExportContexts
  readonly #rights: RightsWatch
  /** Exports that nobody attaches: of this process to a child of its own. */
  readonly #private = new Map<string, { target: Target; opened: boolean }>()
  /** What stops the watch, by the names of attachments that were opened. */
  readonly #watched = new Map<string, () => void>()

  constructor(parts: { catalog: Catalog; engine: Engine; tree: Tree; log: Logger; rights: RightsWatch }) {
    this.#catalog = parts.catalog
    this.#engine = parts.engine
    this.#tree = parts.tree
    this.#log = parts.log
    this.#contexts = new ExportContexts(parts)
    this.#rights = parts.rights
  }

  async find(name: string): Promise<FoundExport> {
    try {
      return { name: (await findNamed(this.#catalog.db, name)).id }
    } catch (error) {
      if (error instanceof AtollError && error.status < 500) return { refusal: error.message }
      this.#log.error({ err: asError(error) }, 'an export could not be looked up')
      throw error
    }
  }

  async open(door: NbdDoor, name: string): Promise<ExportTarget | null> {
    const { db } = this.#catalog
    const own = this.#private.get(name)
    // Once: the name is seen by others in the child's command line.
    if (own?.opened) return null
    if (own !== undefined) own.opened = true
    const target = own?.target ?? (await targetOf(db, door, name))
    if (target === null) return null
    // Before the row is looked at once more: if the rights end after that look, the watch knows the name.
    if (target.attachment !== undefined) this.#endWithRights(name, target.attachment)
    try {
      const still = async () => this.#private.has(name) || (await targetOf(db, door, name)) !== null
      return (await this.#tree.openForNbd(target.resourceId, still)) ? target : null
    } catch (error) {
      if (error instanceof ResourceNotFound) return null
      this.#log.error({ err: asError(error), resource: target.resourceId }, 'an export could not be opened')
      throw error
    }
  }

  async contexts(door: NbdDoor, name: string, queries: ContextQueries): Promise<ExportContext[]> {
    const target = this.#private.get(name)?.target ?? (await targetOf(this.#catalog.db, door, name))
    if (target === null) return []
    const { resourceId, projectId } = target
    try {
      return await this.#contexts.find({ door, resourceId, projectId }, queries)
    } catch (error) {
      this.#log.error({ err: asError(error), resource: resourceId }, 'metadata contexts could not be looked up')
      throw error
    }
  }

  async list(door: NbdDoor): Promise<string[]> {
    // Export names are credentials. An empty list would look like "there are no exports".
    if (door === 'tenant') throw new EngineUnsupported('exports are not listed over TCP')
    const { db } = this.#catalog
    // A snapshot and its image have one ID.
    const ids = new Set<string>()
    for (const { table } of exportedOwners) {
      const rows = await db.selectFrom(table).select('id').where('resource_id', 'is not', null).execute()
      for (const { id } of rows) ids.add(id)
    }
    return [...ids].sort()
  }

  tlsFailed({ door, peer, message, suppressed }: TlsFailure): void {
    this.#log.warn({ door, peer, ...(suppressed > 0 && { suppressed }) }, `TLS for NBD failed: ${message}`)
  }

  requestFailed({ door, label, command, offset, length, code, message, suppressed }: RequestFailure): void {
    const [id, attachment] = label.split('/')
    const who = attachment === undefined ? `export ${id}` : `volume ${id} (attachment ${attachment})`
    const what = length === 0 ? command : `${command} of ${length} bytes at ${offset}`
    const fields = { door, export: label, code, ...(suppressed > 0 && { suppressed }) }
    this.#log[code === 'no_space' ? 'warn' : 'error'](fields, `a request failed: ${who}: ${what}: ${message}`)
  }

  /**
   * Ends the connections of a volume, of its attachments and the operator's own, so that their clients connect again and learn its
   * size. Throws NothingNamed, NameNotUnique.
   */
  async reconnect(idOrName: string): Promise<Reconnected> {
    const { db } = this.#catalog
    const { id, name } = await findNamed(db, idOrName, ['volume'])
    const attachments = await db
      .selectFrom('attachments')
      .select('export_name')
      .where('volume_id', '=', id as VolumeId)
      .where('export_name', 'is not', null)
      .execute()
    const names = [id, ...attachments.map((attachment) => attachment.export_name as string)]
    const { ended, remaining } = await this.#engine.nbd.reconnect(names)
    this.#log.info(
      { volume: id, ended, remaining },
      'the NBD connections of a volume were ended, for its clients to connect again',
    )
    return { volume: describe('volume', id, name), ended, remaining }
  }

  /** Returns the name under which one connection may open the resource, until `closePrivately`. */
  openPrivately(resourceId: ResourceId, { readOnly, label }: { readOnly: boolean; label: string }): string {
    const name = newSecret()
    const target = { resourceId, projectId: null, project: '', readOnly, description: '', label }
    this.#private.set(name, { target, opened: false })
    return name
  }

  closePrivately(names: readonly string[]): void {
    for (const name of names) this.#private.delete(name)
  }

  /** Ends the connections by these names; their rows are gone. */
  async end(names: readonly (string | null)[]): Promise<void> {
    for (const name of names) {
      if (name === null) continue
      this.#watched.get(name)?.()
      this.#watched.delete(name)
      await this.#engine.nbd.disconnect(name)
    }
  }

  #endWithRights(name: string, attachment: WatchedAttachment): void {
    if (this.#watched.has(name)) return
    const { id, userId, projectId } = attachment
    const stop = this.#rights.attachment(attachment, () => {
      this.#watched.delete(name)
      this.#log.info(
        { attachment: id, user: userId, project: projectId },
        'an attachment is no longer served, because its user may not write in the project any more or the project is disabled',
      )
      this.#engine.nbd.disconnect(name).catch((error: unknown) => {
        this.#log.error({ err: asError(error), attachment: id }, 'the connections of an attachment could not be ended')
        this.#endWithRights(name, attachment)
      })
    })
    this.#watched.set(name, stop)
  }
}

export interface Reconnected {
  /** Its kind, ID and name, for people. */
  volume: string
  /** Connections. */
  ended: number
  /** Connections with requests in flight that take too long: they end when those have been answered. */
  remaining: number
}

interface Target extends ExportTarget {
  /** Whose it is; null: found by its ID on the operators' socket. */
  projectId: ProjectId | null
  /** undefined: on the operators' socket. */
  attachment?: WatchedAttachment
}

interface WatchedAttachment {
  id: string
  userId: UserId | null
  projectId: ProjectId
}

/** On the operators' socket the name is an ID. */
async function targetOf(db: Reader, door: NbdDoor, name: string): Promise<Target | null> {
  if (name === '' || name.length > nameLengthMax) return null
  return door === 'tenant' ? findAttachment(db, name) : findById(db, name)
}

async function findAttachment(db: Reader, name: string): Promise<Target | null> {
  const row = await db
    .selectFrom('attachments')
    .innerJoin('volumes', 'volumes.id', 'attachments.volume_id')
    .select([
      'volumes.resource_id',
      'volumes.id',
      'volumes.name',
      'volumes.read_only',
      'volumes.project_id',
      'attachments.mode',
      'attachments.id as attachment_id',
      'attachments.user_id',
    ])
    .where('export_name', '=', name)
    .executeTakeFirst()
  if (row === undefined || !(await servesAttachment(db, row.user_id, row.project_id))) return null
  return {
    resourceId: row.resource_id,
    projectId: row.project_id,
    attachment: { id: row.attachment_id, userId: row.user_id, projectId: row.project_id },
    project: row.project_id,
    readOnly: row.mode === 'ro' || row.read_only === 1,
    description: describe('volume', row.id, row.name),
    label: `${row.id}/${row.attachment_id}`,
  }
}

async function findById(db: Reader, id: string): Promise<Target | null> {
  if (!isUuid(id)) return null
  try {
    const { kind, resourceId, name } = await findNamed(db, id)
    const readOnly = kind !== 'volume'
    return { resourceId, projectId: null, project: '', readOnly, description: describe(kind, id, name), label: id }
  } catch (error) {
    if (error instanceof NothingNamed) return null
    throw error
  }
}

function describe(kind: string, id: string, name: string | null): string {
  return name ? `${kind} ${id} (${name})` : `${kind} ${id}`
}

/**
 * The metadata contexts of an export, beside base:allocation (docs/reference/nbd.md says what each tells):
 *
 *   atoll:depth, qemu:allocation-depth                              of every export
 *   atoll:changed-since:ID, qemu:dirty-bitmap:ID (the same thing)   for every ancestor that the door may see
 *
 * An ancestor is a snapshot, or at the operator's door an image, whose layer is in the export's chain. It stays open, and so
 * its layer stays apart from those above, for as long as the connection that selected it lives, also when it is deleted
 * meanwhile. Of thousands of ancestors only those that are named are looked up.
 */

import type { Catalog } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import type { Engine } from '../../engine/engine.js'
import type { ContextQueries, ExportContext, NbdDoor } from '../../engine/nbd.js'
import { isUuid, type LayerId, type ProjectId, type ResourceId } from '../../lib/ids.js'
import { chainFrom } from '../tree/chain.js'
import { ResourceNotFound } from '../model/errors.js'
import type { Tree } from '../tree/tree.js'

/** What the contexts are about. */
export interface ContextsOf {
  door: NbdDoor
  resourceId: ResourceId
  /** At the tenants' door only this project's snapshots count. */
  projectId: ProjectId | null
}

interface Ancestor {
  id: string
  resourceId: ResourceId
  layer: LayerId
  sizeBytes: number
}

const fixed: readonly ExportContext[] = [
  { name: 'atoll:depth', kind: 'depth' },
  { name: 'qemu:allocation-depth', kind: 'decided' },
]
const changedPrefixes = ['atoll:changed-since:', 'qemu:dirty-bitmap:'] as const

/** LIST_META_CONTEXT shows the latest so many; SET_META_CONTEXT finds any. */
const listedMax = 256
/** Layers from the head down that a list looks at. */
const listedLayersMax = 1000

export class ExportContexts {
  readonly #catalog: Catalog
  readonly #engine: Engine
  readonly #tree: Tree

  constructor(parts: { catalog: Catalog; engine: Engine; tree: Tree }) {
    this.#catalog = parts.catalog
    this.#engine = parts.engine
    this.#tree = parts.tree
  }

  async find(of: ContextsOf, { list, names }: ContextQueries): Promise<ExportContext[]> {
    return list ? this.#listed(of, names) : this.#selected(of, names)
  }

  async #listed(of: ContextsOf, names: readonly string[]): Promise<ExportContext[]> {
    const asked = (prefix: string) => names.length === 0 || names.some((name) => overlap(name, prefix))
    const prefixes = changedPrefixes.filter(asked)
    if (prefixes.length === 0) return [...fixed]
    const ancestors = await latestAncestors(this.#catalog.db, of)
    return [
      ...fixed,
      ...prefixes.flatMap((prefix) => ancestors.map((id) => ({ name: prefix + id, kind: 'changed' as const }))),
    ]
  }

  async #selected(of: ContextsOf, names: readonly string[]): Promise<ExportContext[]> {
    const contexts = fixed.filter(({ name }) => names.includes(name))
    try {
      for (const name of new Set(names)) {
        const id = ancestorIn(name)
        const since = id === undefined ? undefined : await this.#open(of, id)
        if (since !== undefined) contexts.push({ name, kind: 'changed', since })
      }
    } catch (error) {
      for (const { since } of contexts) if (since !== undefined) await this.#engine.resources.closeFor(since.resourceId)
      throw error
    }
    return contexts
  }

  /** Opened for the connection; undefined when there is no such ancestor. */
  async #open(of: ContextsOf, id: string): Promise<ExportContext['since']> {
    const { db } = this.#catalog
    const found = await findAncestor(db, of, id)
    if (found === undefined) return undefined
    const still = async () => (await findAncestor(db, of, id))?.resourceId === found.resourceId
    try {
      if (!(await this.#tree.openForNbd(found.resourceId, still))) return undefined
    } catch (error) {
      if (error instanceof ResourceNotFound) return undefined
      throw error
    }
    const { resourceId, layer, sizeBytes } = found
    return { resourceId, layer, sizeBytes }
  }
}

/** Can names that begin with `prefix` match the query? */
function overlap(query: string, prefix: string): boolean {
  return query.startsWith(prefix) || (query.endsWith(':') && prefix.startsWith(query))
}

function ancestorIn(name: string): string | undefined {
  const prefix = changedPrefixes.find((one) => name.startsWith(one))
  const id = prefix && name.slice(prefix.length)
  return id !== undefined && isUuid(id) ? id : undefined
}

/** A ro resource's head stays: what is found holds as long as the resource does. */
async function findAncestor(db: Reader, of: ContextsOf, id: string): Promise<Ancestor | undefined> {
  const from = (table: 'snapshots' | 'images') =>
    db
      .selectFrom(table)
      .innerJoin('resources', 'resources.id', `${table}.resource_id`)
      .select(['resources.id', 'resources.head_layer', 'resources.size_bytes'])
      .where(`${table}.id`, '=', id as never)
  const row =
    of.door === 'tenant'
      ? await from('snapshots').where('snapshots.project_id', '=', of.projectId).executeTakeFirst()
      : ((await from('snapshots').executeTakeFirst()) ?? (await from('images').executeTakeFirst()))
  if (row === undefined) return undefined
  const chain = await chainOf(db, of.resourceId)
  if (!chain.includes(row.head_layer)) return undefined
  return { id, resourceId: row.id, layer: row.head_layer, sizeBytes: row.size_bytes }
}

/** Their ids, the latest first. */
async function latestAncestors(db: Reader, of: ContextsOf): Promise<string[]> {
  const chain = (await chainOf(db, of.resourceId)).slice(0, listedLayersMax)
  const from = (table: 'snapshots' | 'images') =>
    db
      .selectFrom(table)
      .innerJoin('resources', 'resources.id', `${table}.resource_id`)
      .select([`${table}.id`, `${table}.created_at`])
      .where('resources.head_layer', 'in', chain)
      .orderBy(`${table}.created_at`, 'desc')
      .limit(listedMax)
  const rows: { id: string; created_at: number }[] =
    of.door === 'tenant'
      ? await from('snapshots').where('snapshots.project_id', '=', of.projectId).execute()
      : [...(await from('snapshots').execute()), ...(await from('images').execute())]
  // A snapshot and its image have one ID.
  const ids = new Set(rows.sort((a, b) => b.created_at - a.created_at).map(({ id }) => id))
  return [...ids].slice(0, listedMax)
}

async function chainOf(db: Reader, resource: ResourceId): Promise<LayerId[]> {
  const row = await db.selectFrom('resources').select('head_layer').where('id', '=', resource).executeTakeFirst()
  if (row === undefined) return []
  return (await chainFrom(db, row.head_layer)).map(({ id }) => id)
}

/** Whose data is damaged: from places in layers to objects, images, snapshots and volumes, by id, name and range. */

import type { Reader } from '../../catalog/types.js'
import type { RecordPlace, RegionBlocks } from '../../engine/health.js'
import type { LayerId, ResourceId } from '../../lib/ids.js'
import { blockBytes, regionBytes } from '../../lib/units.js'
import { type OwnerKind, owners } from '../tree/owners.js'

export interface Range {
  offset: number
  length: number
}

export interface Affected {
  kind: OwnerKind | 'resource'
  id: string
  name: string | null
  /** Damaged bytes, in order; empty: all of it may be. */
  ranges: Range[]
}

interface Resource {
  id: ResourceId
  sizeBytes: number
  head: LayerId
}

interface Layer {
  parent: LayerId | null
  parentLimitBlocks: number
}

const blocksPerRegion = regionBytes / blockBytes

/** Asks the catalog for what it needs of the tree, and keeps it: for one finding of a running server, or all of a stopped store. */
export class AffectedFinder {
  readonly #db: Reader
  readonly #blocksOf: (layer: LayerId, region: number) => Promise<RegionBlocks[]>
  readonly #known = new Map<string, RegionBlocks[]>()
  readonly #layers = new Map<LayerId, Layer | undefined>()

  /** `blocksOf`: which blocks a layer supplies itself, so that what a nearer layer covers is not called damaged. */
  constructor(db: Reader, blocksOf: (layer: LayerId, region: number) => Promise<RegionBlocks[]>) {
    this.#db = db
    this.#blocksOf = blocksOf
  }

  /** Those who see the places, with the ranges that they see. `resourcesMax`: it stops looking at so many resources. */
  async byPlaces(
    places: readonly RecordPlace[],
    { resourcesMax = Number.POSITIVE_INFINITY }: { resourcesMax?: number } = {},
  ): Promise<Affected[]> {
    const ranges = new Map<ResourceId, Range[]>()
    for (const place of places) {
      for await (const resource of this.#over(place.layer as LayerId)) {
        const seen = await this.#seen(resource, place)
        for (const range of seen) push(ranges, resource.id, range)
        if (ranges.size >= resourcesMax) break
      }
    }
    const affected: Affected[] = []
    for (const [resource, seen] of ranges) affected.push(...(await this.#things(resource, merged(seen))))
    return affected
  }

  /** Those who have the layer in their chain. */
  async byLayer(layer: LayerId): Promise<Affected[]> {
    const affected: Affected[] = []
    for await (const resource of this.#over(layer)) affected.push(...(await this.#things(resource.id, [])))
    return affected
  }

  byResource(resource: ResourceId): Promise<Affected[]> {
    return this.#things(resource, [])
  }

  /** Resources on the layer or on a descendant of it. */
  async *#over(layer: LayerId): AsyncGenerator<Resource> {
    const visited = new Set<LayerId>()
    const todo = [layer]
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      if (visited.has(at)) continue // a damaged tree may have a cycle
      visited.add(at)
      const resources = await this.#db
        .selectFrom('resources')
        .select(['id', 'size_bytes', 'head_layer'])
        .where('head_layer', '=', at)
        .execute()
      for (const { id, size_bytes, head_layer } of resources) yield { id, sizeBytes: size_bytes, head: head_layer }
      const children = await this.#db.selectFrom('layers').select('id').where('parent', '=', at).execute()
      todo.push(...children.map(({ id }) => id))
    }
  }

  /** What the resource sees of the place: not what a nearer layer supplies, nor what lies beyond a limit or its end. */
  async #seen(resource: Resource, place: RecordPlace): Promise<Range[]> {
    const base = place.region * blocksPerRegion
    let left = place.blocks
    let limit = Number.MAX_SAFE_INTEGER
    const visited = new Set<LayerId>()
    for (let at: LayerId | null = resource.head; at !== null && at !== place.layer && !visited.has(at); ) {
      visited.add(at)
      left = without(left, await this.#supplied(at, place.region))
      const layer: Layer | undefined = await this.#layer(at)
      if (layer === undefined) return []
      limit = Math.min(limit, layer.parentLimitBlocks)
      at = layer.parent
    }
    const end = Math.min(limit * blockBytes, resource.sizeBytes)
    return left
      .map(({ first, end: last }) => ({
        from: (base + first) * blockBytes,
        to: Math.min((base + last) * blockBytes, end),
      }))
      .filter(({ from, to }) => from < to)
      .map(({ from, to }) => ({ offset: from, length: to - from }))
  }

  async #layer(id: LayerId): Promise<Layer | undefined> {
    if (this.#layers.has(id)) return this.#layers.get(id)
    const row = await this.#db
      .selectFrom('layers')
      .select(['parent', 'parent_limit_blocks'])
      .where('id', '=', id)
      .executeTakeFirst()
    const layer = row && { parent: row.parent, parentLimitBlocks: row.parent_limit_blocks }
    this.#layers.set(id, layer)
    return layer
  }

  async #supplied(layer: LayerId, region: number): Promise<RegionBlocks[]> {
    const key = `${layer}/${region}`
    let known = this.#known.get(key)
    if (known === undefined) {
      // Not the promise: one that was rejected would be kept.
      known = await this.#blocksOf(layer, region)
      this.#known.set(key, known)
    }
    return known
  }

  async #things(resource: ResourceId, ranges: Range[]): Promise<Affected[]> {
    const things: Affected[] = []
    for (const { kind, table } of owners) {
      const rows =
        table === 'objects'
          ? await this.#objects(resource)
          : await this.#db.selectFrom(table).select(['id', 'name']).where('resource_id', '=', resource).execute()
      for (const { id, name } of rows) things.push({ kind, id, name, ranges })
    }
    return things.length > 0 ? things : [{ kind: 'resource', id: resource, name: null, ranges }]
  }

  /** An object is named by its container, too. */
  async #objects(resource: ResourceId): Promise<{ id: string; name: string }[]> {
    const objects = await this.#db
      .selectFrom('objects')
      .innerJoin('containers', 'containers.id', 'objects.container_id')
      .select(['objects.id', 'objects.name', 'containers.name as container'])
      .where('resource_id', '=', resource)
      .execute()
    return objects.map(({ id, name, container }) => ({ id, name: `${container}/${name}` }))
  }
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

/** Both in order, and each without overlaps. */
function without(blocks: readonly RegionBlocks[], covered: readonly RegionBlocks[]): RegionBlocks[] {
  let left = [...blocks]
  for (const { first, end } of covered)
    left = left.flatMap((run) => [
      ...(run.first < Math.min(run.end, first) ? [{ first: run.first, end: Math.min(run.end, first) }] : []),
      ...(Math.max(run.first, end) < run.end ? [{ first: Math.max(run.first, end), end: run.end }] : []),
    ])
  return left
}

function merged(ranges: readonly Range[]): Range[] {
  const inOrder = [...ranges].sort((a, b) => a.offset - b.offset)
  const result: Range[] = []
  for (const { offset, length } of inOrder) {
    const last = result.at(-1)
    if (last !== undefined && offset <= last.offset + last.length)
      last.length = Math.max(last.length, offset + length - last.offset)
    else result.push({ offset, length })
  }
  return result
}

const rangesShown = 8

export function thingInWords({ kind, id, name, ranges }: Affected): string {
  const named = name === null ? `${kind} ${id}` : `${kind} ${id} (${name})`
  if (ranges.length === 0) return named
  const shown = ranges.slice(0, rangesShown).map(({ offset, length }) => `${offset}+${length}`)
  const more = ranges.length > rangesShown ? ` and ${ranges.length - rangesShown} more ranges` : ''
  return `${named}: bytes ${shown.join(', ')}${more}`
}

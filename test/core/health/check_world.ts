/** A small store with one of everything, to be damaged; and the tools to damage it with. */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Core } from '../../../src/core/core.js'
import { objectLocation } from '../../../src/core/conversions/image_location.js'
import { openStore } from '../../../src/core/store.js'
import { ResourceReadable } from '../../../src/engine/read_stream.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { silentLogger } from '../../../src/lib/log.js'
import { MiB } from '../../../src/lib/units.js'
import { collect, Dice, pieces, type Teardown, TestStore } from '../support.js'

/** Ids of what is in it, and the layers below. */
export interface World {
  volume: string
  clone: string
  snapshot: string
  image: string
  object: string
  volumeHead: number
  snapshotLayer: number
  cloneHead: number
  imageLayer: number
  volumeResource: string
  imageResource: string
  /** Digests of the image's chunks, in order. */
  chunks: string[]
}

const readMost = 12 * MiB

/**
 * A volume with two written regions, a snapshot of it below, an image of three chunks that is an object too, a volume
 * cloned from the image whose first block is its own, and an object of a few bytes.
 */
export async function makeWorld(t: Teardown): Promise<{ dataDir: string; world: World }> {
  const store = await TestStore.open(t)
  const ann = await store.caller('ann')
  const { images, containers, objects, snapshots, tree, catalog, engine, imageSources, volumeSources } = store.core
  const dice = new Dice(1)
  const bytes = Buffer.from(Array.from({ length: 9 * MiB }, () => dice.below(256)))
  const ref = { projectId: ann.project.id, container: 'box', object: 'os.raw' }
  await containers.put(ann, ref)
  const { id: object } = await objects.put(ann, ref, { body: pieces(bytes), contentType: 'application/octet-stream' })
  await objects.put(ann, { ...ref, object: 'small' }, { body: pieces('a few bytes'), contentType: 'text/plain' })
  const { id: image } = await images.create(ann, {
    name: 'os',
    diskFormat: 'raw',
    containerFormat: 'bare',
    properties: { a: 'b' },
  })
  const { resourceId: imageResource } = await imageSources.register(ann, image, {
    url: objectLocation(ref),
  })

  const volume = await volumeSources.create(ann, { source: { kind: 'blank' }, sizeGib: 1, name: 'data' })
  const write = async (resource: ResourceId, offset: number, data: Buffer) => {
    const lease = await tree.lease(resource)
    await lease.write(offset, data)
    await lease.flush()
    await lease.close()
  }
  await write(volume.resourceId, 0, bytes.subarray(0, 5 * MiB))
  const snapshot = await snapshots.create(ann, { volumeId: volume.id, name: 'before' })
  await write(volume.resourceId, MiB, bytes.subarray(MiB, 3 * MiB))
  const clone = await volumeSources.create(ann, { source: { kind: 'image', id: image }, sizeGib: 1, name: 'machine' })
  await write(clone.resourceId, 0, bytes.subarray(0, 4096))

  const headOf = async (resource: ResourceId | null) => {
    const rows = catalog.db
      .selectFrom('resources')
      .select('head_layer')
      .where('id', '=', resource as ResourceId)
    return (await rows.executeTakeFirstOrThrow()).head_layer
  }
  await engine.health.reclaimed()
  const world: World = {
    ...{ volume: volume.id, clone: clone.id, snapshot: snapshot.id, image, object },
    volumeHead: await headOf(volume.resourceId),
    snapshotLayer: await headOf(snapshot.resourceId),
    cloneHead: await headOf(clone.resourceId),
    imageLayer: await headOf(imageResource),
    volumeResource: volume.resourceId,
    imageResource: imageResource as ResourceId,
    chunks: [],
  }
  await store.restart({ background: false })
  const dataDir = store.dataDir
  await store.close()
  const record = (region: number) => records(dataDir).get(recordKey(world.imageLayer, region))
  // version:1 sources:2 kind:1 length:4, then the digest (docs/internals/format.md).
  world.chunks = [0, 1, 2].map((region) => (record(region) as string).slice(16, 16 + 64))
  return { dataDir, world }
}

/** The beginning of every object, image, snapshot and volume, by kind and id; what cannot be read is told as such. */
export async function contentsOf(dataDir: string): Promise<Map<string, string>> {
  const store = await openStore({ dataDir, log: silentLogger(), reactors: 1 })
  try {
    return await readAll(store.core)
  } finally {
    await store.close()
  }
}

async function readAll({ catalog, tree }: Core): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const table of ['objects', 'images', 'snapshots', 'volumes'] as const) {
    const rows = await catalog.db.selectFrom(table).select(['id', 'resource_id']).execute()
    for (const { id, resource_id } of rows) {
      const lease = await tree.lease(resource_id as ResourceId)
      const range = { start: 0, end: Math.min(lease.sizeBytes, readMost) }
      contents.set(
        `${table} ${id}`,
        createHash('sha256')
          .update(await collect(new ResourceReadable(lease, range)))
          .digest('hex'),
      )
      await lease.close()
    }
  }
  return contents
}

// ---- to damage it ----

export function inCatalog<T>(dataDir: string, work: (db: Database.Database) => T): T {
  const db = new Database(join(dataDir, 'catalog.db'))
  try {
    db.pragma('foreign_keys = OFF')
    return work(db)
  } finally {
    db.close()
  }
}

/** RocksDB's own tool: keys and values in hexadecimal. */
export function ldb(dataDir: string, ...args: string[]): string {
  const out = execFileSync('ldb', [`--db=${join(dataDir, 'store', 'records')}`, '--hex', ...args], { encoding: 'utf8' })
  return out
}

/** All keys and values, in hexadecimal without 0x. */
export function records(dataDir: string): Map<string, string> {
  const lines = ldb(dataDir, 'scan').split('\n')
  const pairs = lines.map((line) => /^0x([0-9A-F]*) : 0x([0-9A-F]*)$/.exec(line)).filter((match) => match !== null)
  return new Map(pairs.map(([, key = '', value = '']) => [key.toLowerCase(), value.toLowerCase()]))
}

export const put = (dataDir: string, key: string, value: string) => ldb(dataDir, 'put', `0x${key}`, `0x${value}`)

const hex = (number: number, bytes: number) => number.toString(16).padStart(2 * bytes, '0')
const text = (letters: string) => Buffer.from(letters).toString('hex')
export const recordKey = (layer: number, region: number) => `${text('r')}${hex(layer, 8)}${hex(region, 4)}`
export const fileKey = (prefix: 'f' | 'gf' | 'if', file: number) => `${text(prefix)}${hex(file, 8)}`
export const chunkKey = (prefix: 'c' | 'gc' | 'ic', digest: string) => `${text(prefix)}${digest}`
export const punchKey = (file: number, region: number) => `${text('gp')}${hex(file, 8)}${hex(region, 4)}`
export const count = (number: number) => Buffer.from(new BigUint64Array([BigInt(number)]).buffer).toString('hex')

export const chunkPath = (dataDir: string, digest: string) =>
  join(dataDir, 'store', 'content', digest.slice(0, 2), digest.slice(2))
export const filePath = (dataDir: string, file: number) =>
  join(dataDir, 'store', 'data', hex(file & 255, 1), `${hex(file, 8)}.0`)

/** The newest table of the record store. */
export function tableFile(dataDir: string): string {
  const folder = join(dataDir, 'store', 'records')
  ldb(dataDir, 'compact')
  const [table] = readdirSync(folder).filter((name) => name.endsWith('.sst'))
  return join(folder, table as string)
}

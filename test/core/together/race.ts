// What a race is, and the things that races are about.

import type { ValuesEdit } from '../../../src/catalog/named_values.js'
import type { Core } from '../../../src/core/core.js'
import type { Metadata, ProjectCaller } from '../../../src/core/model/records.js'
import { pieces } from '../support.js'

/** So many times each action is done at once. */
export const times = 20
export const raw = { diskFormat: 'raw', containerFormat: 'bare' }
export const blank = { source: { kind: 'blank' as const }, sizeGib: 1 }
export const host = (i: number) => ({ host: `host-${i}` })

export interface World {
  core: Core
  alice: ProjectCaller
  admin: ProjectCaller
  /** A name that no other race uses. */
  fresh(): string
}

/** What one race is about: an ID, a name. */
export type Subject = string

export interface Race {
  what: string
  /** Default: a new blank volume. */
  subject?: (world: World) => Promise<Subject>
  act: (core: Core, world: World, subject: Subject, i: number) => Promise<unknown>
  /** How many succeed. */
  winners: number
  /** Codes (or HTTP statuses) that the others may be refused with. */
  refusals?: (string | number)[]
  /** What there is afterwards, as text; `expected` is what it must be. */
  after?: (world: World, subject: Subject) => Promise<unknown>
  expected?: unknown
  /** Work of the engine on the volume's head, which two cores in one process cannot share. */
  oneCore?: true
}

export const keys = Array.from({ length: times }, (_, i) => `k${String(i).padStart(2, '0')}`)
export const all = Object.fromEntries(keys.map((key) => [key, 'v']))
export const adds =
  (i: number): ValuesEdit =>
  (before) => ({ ...before, [keys[i] as string]: 'v' })
export const removes =
  (key: string): ValuesEdit =>
  (before) => {
    if (!Object.hasOwn(before, key)) throw Object.assign(new Error('not there'), { statusCode: 404 })
    return Object.fromEntries(Object.entries(before).filter(([name]) => name !== key))
  }
/** Compare and set. */
export const swaps =
  (i: number): ValuesEdit =>
  (before) => {
    if (before['version'] !== 'old') throw Object.assign(new Error('changed'), { statusCode: 412 })
    return { version: String(i) }
  }
export const atMost = (max: number) => (metadata: Metadata) => {
  if (Object.keys(metadata).length > max) throw Object.assign(new Error('too many'), { statusCode: 400 })
}

export const volume = async ({ core, alice }: World) => (await core.volumeSources.create(alice, blank)).id
export const volumeIn = (status: 'in-use' | 'detaching' | 'attaching') => async (world: World) => {
  const id = await volume(world)
  await world.core.volumes.update(world.alice, id, { status: { to: status } })
  return id
}
export const snapshot = async (world: World) =>
  (await world.core.snapshots.create(world.alice, { volumeId: await volume(world) })).id
export const attachment = async (world: World) =>
  (await world.core.attachments.create(world.alice, { volumeId: await volume(world), connector: host(0) })).id
export const attachedVolume = async (world: World) => {
  const id = await volume(world)
  const made = await world.core.attachments.create(world.alice, { volumeId: id, connector: host(0) })
  await world.core.attachments.complete(world.alice, made.id)
  return id
}
export const queued = async ({ core, alice }: World) => (await core.images.create(alice, raw)).id
export const active = async (world: World) => {
  const id = await queued(world)
  await world.core.images.upload(world.alice, id, { body: pieces('data') })
  return id
}
export const container = async ({ core, alice, fresh }: World) => {
  const name = fresh()
  await core.containers.put(alice, { projectId: alice.project.id, container: name })
  return name
}
export const inContainer = (world: World, name: string, object = 'o') => ({
  projectId: world.alice.project.id,
  container: name,
  object,
})
export const object = async (world: World) => {
  const name = await container(world)
  await world.core.objects.put(world.alice, inContainer(world, name), { body: pieces('data'), contentType: 'a/b' })
  return name
}
export const volumeOf = (world: World, id: Subject) => world.core.volumes.get(world.alice, id)
export const stateOf = async (world: World, id: Subject) => {
  const { status, attachments } = await volumeOf(world, id)
  return `${status}, ${attachments.length} attachments`
}

export const conflict = 'volume_state_conflict'

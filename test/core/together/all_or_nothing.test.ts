// Workflows that make or change several things, cut off at each of their transactions: the catalog holds what it held before, or
// all of the outcome, and nothing is left in the engine.

import { sql } from 'kysely'
import t from 'tap'
import type { Core } from '../../../src/core/core.js'
import { objectLocation } from '../../../src/core/conversions/image_location.js'
import type { ProjectCaller } from '../../../src/core/model/records.js'
import { replaceTransaction } from './repeated.js'
import { pieces, TestStore } from '../support.js'

interface World {
  core: Core
  alice: ProjectCaller
  /** With one snapshot. */
  volume: string
  snapshot: string
  /** The location of an object. */
  object: string
  queued: string
  /** Initialized for host `h`. */
  connected: string
}

interface Workflow {
  what: string
  run: (world: World) => Promise<unknown>
  /** Uploads take two: the image is seen `saving` meanwhile, as the API says. */
  transactions?: 2
}

const raw = { diskFormat: 'raw', containerFormat: 'bare' }
const protectedImage = { ...raw, name: 'n', protected: true, properties: { p: '1' }, tags: ['t'] }

const workflows: Workflow[] = [
  {
    what: 'an image is made with an object’s data',
    run: ({ core, alice, object }) => core.imageSources.create(alice, protectedImage, { url: object }),
  },
  {
    what: 'an image is made with a snapshot’s data',
    run: ({ core, alice, snapshot }) =>
      core.imageSources.create(alice, protectedImage, { url: `cinder://snapshots/${snapshot}` }),
  },
  {
    what: 'an image is made with a volume’s data',
    run: ({ core, alice, volume }) =>
      core.imageSources.create(alice, protectedImage, { url: `cinder://volumes/${volume}` }),
  },
  {
    what: 'an image is changed and gets an object’s data',
    run: ({ core, alice, queued, object }) =>
      core.imageSources.edit(alice, queued, ({ properties }) => ({
        change: { name: 'after', properties: { ...properties, more: '2' }, tags: ['after'], minDiskGib: 1 },
        location: { url: object },
      })),
  },
  {
    what: 'an image is changed and gets a volume’s data',
    run: ({ core, alice, queued, volume }) =>
      core.imageSources.edit(alice, queued, () => ({
        change: { name: 'after', visibility: 'community' },
        location: { url: `cinder://volumes/${volume}` },
      })),
  },
  {
    what: 'a volume becomes an image',
    run: ({ core, alice, volume }) => core.imageSources.createFromVolume(alice, volume, { name: 'of a volume' }),
  },
  {
    what: 'data is uploaded to an image',
    run: ({ core, alice, queued }) => core.images.upload(alice, queued, { body: pieces('data') }),
    transactions: 2,
  },
  {
    what: 'a volume is made of a snapshot',
    run: ({ core, alice, snapshot }) =>
      core.volumeSources.create(alice, { source: { kind: 'snapshot', id: snapshot }, metadata: { a: '1' } }),
  },
  {
    what: 'a volume is made of a volume',
    run: ({ core, alice, volume }) => core.volumeSources.create(alice, { source: { kind: 'volume', id: volume } }),
  },
  {
    what: 'a snapshot is taken',
    run: ({ core, alice, volume }) => core.snapshots.create(alice, { volumeId: volume, metadata: { a: '1' } }),
  },
  {
    what: 'a volume is deleted with its snapshots',
    run: ({ core, alice, volume }) => core.volumes.delete(alice, volume, { cascade: true }),
  },
  {
    what: 'a volume is attached: os-attach',
    run: ({ core, alice, volume }) =>
      core.connections.attach(alice, volume, { instanceId: 'i', mountpoint: '/dev/vdb', mode: 'rw' }),
  },
  {
    what: 'a connection is attached: os-attach',
    run: ({ core, alice, connected }) =>
      core.connections.attach(alice, connected, { instanceId: 'i', mountpoint: '/dev/vdb' }),
  },
  {
    what: 'connections are terminated',
    run: ({ core, alice, connected }) => core.connections.terminate(alice, connected, null),
  },
  {
    what: 'an object is put in the place of another',
    run: ({ core, alice }) =>
      core.objects.put(alice, objectRef(alice), { body: pieces('new'), contentType: 'c/d', metadata: { m: '1' } }),
  },
  {
    what: 'an object is copied over itself',
    run: ({ core, alice }) =>
      core.objects.copy(alice, { from: objectRef(alice), to: objectRef(alice) }, { metadata: { m: '1' } }),
  },
  {
    what: 'a user is made with a project and a role',
    run: ({ core }) =>
      core.identity.createMember({ user: { name: 'bob', password: 'a password' }, project: 'bob', role: 'member' }),
  },
]

const objectRef = (alice: ProjectCaller) => ({ projectId: alice.project.id, container: 'c', object: 'o' })

async function newWorld(store: TestStore, alice: ProjectCaller): Promise<World> {
  const { core } = store
  core.exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
  const { id: volume } = await core.volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
  const { id: snapshot } = await core.snapshots.create(alice, { volumeId: volume })
  const { id: connected } = await core.volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
  await core.connections.initialize(alice, connected, { host: 'h' })
  await core.containers.put(alice, objectRef(alice))
  await core.objects.put(alice, objectRef(alice), { body: pieces('data'), contentType: 'a/b' })
  const { id: queued } = await core.images.create(alice, { ...raw, name: 'before', properties: { p: '1' } })
  return { core, alice, volume, snapshot, object: objectLocation(objectRef(alice)), queued, connected }
}

/** Every row of every table, but for numbers that are given out once and never again. */
async function contents({ core }: { core: Core }): Promise<Record<string, string[]>> {
  const { db } = core.catalog
  // Each start changes these.
  const passing = ['sequences', 'store_identity']
  const tables = (await db.introspection.getTables()).map(({ name }) => name).filter((name) => !passing.includes(name))
  const rows = tables.map(async (name) => {
    const found = await sql<Record<string, unknown>>`select * from ${sql.table(name)}`.execute(db)
    return [name, found.rows.map((row) => JSON.stringify(row)).sort()] as const
  })
  return Object.fromEntries(await Promise.all(rows))
}

/** From the transaction of this number on, none becomes durable: `before` its work, or when all of that is done. */
function cutOff(core: Core, first: number, moment: 'before' | 'after') {
  let begun = 0
  const undo = replaceTransaction(core.catalog, (original) => (work) => {
    begun += 1
    if (begun < first) return original(work)
    if (moment === 'before') return Promise.reject(new Error('cut off'))
    return original(async (tx) => {
      await work({ db: tx.db, afterCommit: () => undefined })
      throw new Error('cut off')
    })
  })
  return { undo, count: () => begun }
}

/** The first number of a layer after a start takes a transaction of its own, which is none of the workflow's. */
async function haveLayerNumbers(t: { rejects(promise: Promise<unknown>, error: RegExp): unknown }, core: Core) {
  const refuse = () => Promise.reject(new Error('only the number'))
  await t.rejects(core.tree.createBlank({ sizeBytes: 4096, mode: 'rw' }, refuse), /only the number/)
}

for (const workflow of workflows) {
  t.test(`all or nothing, wherever it is cut off: ${workflow.what}`, async (t) => {
    const store = await TestStore.open(t)
    const alice = await store.caller('alice')
    const world = await newWorld(store, alice)
    const layersBefore = await store.layersLeft()
    const before = { contents: await contents(store), layers: layersBefore }
    const expected = workflow.transactions ?? 1

    for (let first = 1; first <= expected; first++) {
      for (const moment of ['before', 'after'] as const) {
        await haveLayerNumbers(t, store.core)
        const { undo } = cutOff(store.core, first, moment)
        await t.rejects(workflow.run(world), /cut off/)
        undo()
        // As after a crash: the next start settles what was in the middle.
        await store.restart()
        world.core = store.core
        store.core.exports.tenantAddress = { host: '127.0.0.1', port: 10809 }
        const layers = await store.layersLeft()
        t.same(await contents(store), before.contents, `transaction ${first}, ${moment} its work`)
        t.same(layers, before.layers, `layers: transaction ${first}, ${moment} its work`)
      }
    }

    await haveLayerNumbers(t, store.core)
    // Its transactions are none of the workflow's.
    await store.core.reaper.stop()
    const { undo, count } = cutOff(store.core, Number.POSITIVE_INFINITY, 'before')
    await workflow.run(world)
    undo()
    t.equal(count(), expected, 'transactions')
  })
}

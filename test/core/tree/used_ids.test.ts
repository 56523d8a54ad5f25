// An ID that a client may choose is used once, and stays used.

import { randomUUID } from 'node:crypto'
import t from 'tap'
import { pieces, TestStore } from '../support.js'

t.test('the ID of anything that is or was there is refused for a new image', async (t) => {
  const store = await TestStore.open(t)
  const alice = await store.caller('alice')
  const bob = await store.caller('bob')
  const { images, snapshots, volumes, imageSources, volumeSources } = store.core
  const raw = { diskFormat: 'raw', containerFormat: 'bare' }
  const blank = { source: { kind: 'blank' }, sizeGib: 1 } as const
  const kinds: Record<string, { make(): Promise<{ id: string }>; remove(id: string): Promise<void> }> = {
    'an image with an ID of its owner’s choice': {
      make: () => images.create(alice, { ...raw, id: randomUUID() }),
      remove: (id) => images.delete(alice, id),
    },
    'an image': { make: () => images.create(alice, raw), remove: (id) => images.delete(alice, id) },
    'an image with data': {
      make: async () => {
        const { id } = await images.create(alice, raw)
        return images.upload(alice, id, { body: pieces('secret of alice') })
      },
      remove: (id) => images.delete(alice, id),
    },
    'an image of a volume': {
      make: async () => imageSources.createFromVolume(alice, (await volumeSources.create(alice, blank)).id, {}),
      remove: (id) => images.delete(alice, id),
    },
    'a volume': { make: () => volumeSources.create(alice, blank), remove: (id) => volumes.delete(alice, id) },
    'a snapshot': {
      make: async () => snapshots.create(alice, { volumeId: (await volumeSources.create(alice, blank)).id }),
      remove: (id) => snapshots.delete(alice, id),
    },
    'a snapshot that goes with its volume': {
      make: async () => snapshots.create(alice, { volumeId: (await volumeSources.create(alice, blank)).id }),
      remove: async (id) => volumes.delete(alice, String((await snapshots.get(alice, id)).volumeId), { cascade: true }),
    },
  }
  const refusal = { code: 'image_exists', status: 409 }
  const used: string[] = []
  for (const [words, { make, remove }] of Object.entries(kinds)) {
    const { id } = await make()
    for (const caller of [alice, bob]) await t.rejects(images.create(caller, { ...raw, id }), refusal, words)
    await remove(id)
    for (const caller of [alice, bob])
      await t.rejects(images.create(caller, { ...raw, id }), refusal, `${words}, deleted`)
    used.push(id)
  }
  await store.restart()
  for (const id of used) await t.rejects(store.core.images.create(bob, { ...raw, id }), refusal, 'after a restart')
})

t.test('an ID stays free when what would have had it was not made', async (t) => {
  const store = await TestStore.open(t)
  const alice = await store.caller('alice')
  const id = randomUUID()
  await t.rejects(store.core.images.create(alice, { id, owner: 'another project' }), { code: 'not_allowed' })
  t.equal((await store.core.images.create(alice, { id })).id, id)
})

t.test('of twenty that take one ID at once one succeeds', async (t) => {
  const store = await TestStore.open(t)
  const alice = await store.caller('alice')
  const id = randomUUID()
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => store.core.images.create(alice, { id })))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})

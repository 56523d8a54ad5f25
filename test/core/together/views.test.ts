/**
 * Random conversions, deletions, renames and restarts against a plain model of what each service must show. ATOLL_SEED replays a failure.
 *
 * The model is a list of contents; each has the views that are left of it.
 */

import t from 'tap'
import type { ProjectCaller } from '../../../src/core/model/records.js'
import { collected } from '../../../src/core/lists/slices.js'
import { GiB } from '../../../src/lib/units.js'
import { collect, newDice, pieces, TestStore } from '../support.js'

interface Content {
  /** The first bytes; the rest of a snapshot is zeros. */
  text: string
  sizeBytes: number
  objects: Set<string>
  image?: { id: string; name: string; own: string | undefined; origin: 'upload' | 'snapshot' | 'registration' }
  snapshot: boolean
  /** What Cinder alone knows. */
  description: string | null
}

const raw = { diskFormat: 'raw', containerFormat: 'bare' }
const steps = 120

t.test('objects, images and snapshots show what a plain model shows, after any operations in any order', async (t) => {
  const dice = newDice(t)
  const store = await TestStore.open(t)
  const alice = await store.caller('alice')
  const projectId = alice.project.id
  const empty = await store.layersLeft()
  const contents: Content[] = []
  let serial = 0
  const next = (prefix: string) => `${prefix}${serial++}`
  const ref = (path: string) => {
    const [container = '', ...rest] = path.split('/')
    return { projectId, container, object: rest.join('/') }
  }
  await store.core.containers.put(alice, { projectId, container: 'mine' })
  const some = (which: (content: Content) => boolean): Content | undefined => {
    const found = contents.filter(which)
    return found.length > 0 ? dice.pick(found) : undefined
  }

  /** Where the object is that came with an image or a snapshot: the one place that the model did not know. */
  const ownObject = async (container: string, name: string): Promise<string> => {
    const known = new Set(contents.flatMap(({ objects }) => [...objects]))
    const listed = (await objectsOf(store, alice, container)).map((object) => `${container}/${object}`)
    const added = listed.filter((path) => !known.has(path))
    t.equal(added.length, 1, `one new object for ${name}`)
    t.ok(added[0]?.startsWith(`${container}/${name}`), `${added[0]} begins with the name ${name}`)
    return added[0] as string
  }

  const operations: Record<string, () => Promise<void>> = {
    upload: async () => {
      const { images } = store.core
      // Few names, so that they collide.
      const [name, text] = [`image ${dice.below(3)}`, next('uploaded ')]
      const snapshot = dice.below(3) === 0
      const properties = snapshot ? { EXCLUDE_ALL_TASKS: 'yes' } : {}
      const { id } = await images.create(alice, { ...raw, name, properties })
      await images.upload(alice, id, { body: pieces(text) })
      const own = await ownObject('images', name)
      const image = { id, name, own, origin: 'upload' } as const
      contents.push({ text, sizeBytes: text.length, objects: new Set([own]), image, snapshot, description: null })
    },
    put: async () => {
      const [path, text] = [`mine/${dice.below(4)}`, next('object ')]
      await store.core.objects.put(alice, ref(path), { body: pieces(text), contentType: 'text/plain' })
      for (const content of contents) content.objects.delete(path)
      contents.push({ text, sizeBytes: text.length, objects: new Set([path]), snapshot: false, description: null })
    },
    overwrite: async () => {
      const content = some(({ objects }) => objects.size > 0)
      if (content === undefined) return
      const [path, text] = [dice.pick([...content.objects]), next('overwritten ')]
      await store.core.objects.put(alice, ref(path), { body: pieces(text), contentType: 'text/plain' })
      content.objects.delete(path)
      contents.push({ text, sizeBytes: text.length, objects: new Set([path]), snapshot: false, description: null })
    },
    rename: async () => {
      const content = some(({ objects }) => objects.size > 0)
      if (content === undefined) return
      const [from, to] = [dice.pick([...content.objects]), next('mine/renamed ')]
      await store.core.objects.copy(alice, { from: ref(from), to: ref(to) })
      await store.core.objects.delete(alice, ref(from))
      content.objects.delete(from)
      content.objects.add(to)
    },
    deleteObject: async () => {
      const content = some(({ objects }) => objects.size > 0)
      if (content === undefined) return
      const path = dice.pick([...content.objects])
      await store.core.objects.delete(alice, ref(path))
      content.objects.delete(path)
    },
    register: async () => {
      const content = some(({ objects, image }) => objects.size > 0 && image === undefined)
      if (content === undefined) return
      const [name, path] = [next('registered '), dice.pick([...content.objects])]
      const url = `swift://AUTH_${projectId}/${path.split('/').map(encodeURIComponent).join('/')}`
      const { id } = await store.core.imageSources.create(alice, { ...raw, name }, { url })
      content.image = { id, name, own: undefined, origin: 'registration' }
      content.snapshot = false
      content.description = null
    },
    snapshot: async () => {
      const { volumeSources, snapshots, volumes } = store.core
      const volume = await volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
      const [name, description] = [`snapshot ${dice.below(2)}`, next('of ')]
      const { id } = await snapshots.create(alice, { volumeId: volume.id, name, description })
      const own = await ownObject('snapshots', name)
      const image = { id, name, own, origin: 'snapshot' } as const
      contents.push({ text: '', sizeBytes: GiB, objects: new Set([own]), image, snapshot: true, description })
      // What was a snapshot and is an image now does not keep a volume.
      if (dice.below(2) === 0) {
        await setProperty(store, alice, id, undefined)
        await volumes.delete(alice, volume.id)
        await setProperty(store, alice, id, 'yes')
        t.equal((await snapshots.get(alice, id)).volumeId, null)
      }
    },
    uploadVolume: async () => {
      const { volumeSources, imageSources, volumes } = store.core
      const volume = await volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
      const name = `image ${dice.below(3)}`
      const { id } = await imageSources.createFromVolume(alice, volume.id, { name })
      await volumes.delete(alice, volume.id)
      const own = await ownObject('images', name)
      const image = { id, name, own, origin: 'upload' } as const
      contents.push({ text: '', sizeBytes: GiB, objects: new Set([own]), image, snapshot: false, description: null })
    },
    exclude: async () => {
      const content = some(({ image }) => image !== undefined)
      if (content?.image === undefined) return
      content.snapshot = dice.below(2) === 0
      await setProperty(store, alice, content.image.id, content.snapshot ? 'yes' : undefined)
    },
    renameImage: async () => {
      const content = some(({ image }) => image !== undefined)
      if (content?.image === undefined) return
      const name = next('renamed ')
      const { images, snapshots } = store.core
      if (content.snapshot && dice.below(2) === 0) await snapshots.update(alice, content.image.id, { name })
      else await images.update(alice, content.image.id, { name })
      content.image.name = name
    },
    deleteImage: async () => {
      const content = some(({ image }) => image !== undefined)
      if (content?.image === undefined) return
      await store.core.images.delete(alice, content.image.id)
      if (content.image.origin === 'upload' && content.image.own !== undefined)
        content.objects.delete(content.image.own)
      delete content.image
      content.snapshot = false
    },
    deleteSnapshot: async () => {
      const content = some(({ snapshot }) => snapshot)
      if (content?.image === undefined) return
      await store.core.snapshots.delete(alice, content.image.id)
      if (content.image.own !== undefined) content.objects.delete(content.image.own)
      delete content.image
      content.snapshot = false
    },
    restart: async () => {
      if (dice.below(4) === 0) await store.restart()
    },
  }

  /** An own object that was renamed or overwritten is not the image's own any more. */
  const forgetOwn = () => {
    for (const { image, objects } of contents)
      if (image?.own !== undefined && !objects.has(image.own)) image.own = undefined
  }

  const compare = async (words: string) => {
    const shown = { objects: [] as string[], images: [] as string[], snapshots: [] as string[] }
    let bytes = 0
    for await (const listed of store.core.accounts.list(alice, projectId, {})) {
      for (const entry of listed) {
        if (entry.kind !== 'item') continue
        const objects = await collected(
          store.core.containers.list(alice, { projectId, container: entry.item.name }, {}),
        )
        const items = objects.flatMap((one) => (one.kind === 'item' ? [one.item] : []))
        t.equal(entry.item.objectCount, items.length, `${words}: ${entry.item.name} counts its objects`)
        t.equal(
          entry.item.bytesUsed,
          items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        )
        bytes += entry.item.bytesUsed
        shown.objects.push(...items.map(({ name, sizeBytes }) => `${entry.item.name}/${name} ${sizeBytes}`))
      }
    }
    for (const { id, name, sizeBytes } of await store.core.images.list(alice, {}))
      shown.images.push(`${id} ${name} ${sizeBytes}`)
    for (const { id, name, description } of await store.core.snapshots.list(alice, {}))
      shown.snapshots.push(`${id} ${name} ${description}`)
    const account = await store.core.accounts.get(alice, projectId)
    const usage = await store.core.volumes.usage(alice, projectId)
    const images = contents.flatMap(({ image, sizeBytes }) => (image ? [{ ...image, sizeBytes }] : []))
    const snapshots = contents.filter(({ snapshot }) => snapshot)
    t.same(
      {
        objects: shown.objects.sort(),
        images: shown.images.sort(),
        snapshots: shown.snapshots.sort(),
        account: [account.objectCount, account.bytesUsed],
        usage: usage.snapshots,
      },
      {
        objects: contents
          .flatMap(({ objects, sizeBytes }) => [...objects].map((path) => `${path} ${sizeBytes}`))
          .sort(),
        images: images.map(({ id, name, sizeBytes }) => `${id} ${name} ${sizeBytes}`).sort(),
        snapshots: snapshots.map(({ image, description }) => `${image?.id} ${image?.name} ${description}`).sort(),
        account: [shown.objects.length, bytes],
        usage: snapshots.length,
      },
      words,
    )
  }

  const readOne = async () => {
    const content = some(({ objects, image }) => objects.size > 0 || image !== undefined)
    if (content === undefined) return
    const expected = content.text || '\0'.repeat(16)
    const [path] = content.objects
    if (path !== undefined) {
      const open = await store.core.objects.open(alice, ref(path))
      t.equal((await collect(open.read({ start: 0, end: expected.length }))).toString(), expected, path)
      open.close()
    }
    if (content.image === undefined) return
    const open = await store.core.images.open(alice, content.image.id)
    t.equal((await collect(open.read({ start: 0, end: expected.length }))).toString(), expected, content.image.id)
    open.close()
  }

  for (let step = 0; step < steps && t.passing(); step++) {
    const name = dice.pick(Object.keys(operations))
    await operations[name]?.()
    forgetOwn()
    await compare(`step ${step}: ${name}`)
    await readOne()
  }

  const { images, objects, volumes } = store.core
  for (const { id } of await images.list(alice, {})) await images.delete(alice, id)
  for (const container of ['mine', 'images', 'snapshots'])
    for (const object of await objectsOf(store, alice, container))
      await objects.delete(alice, { projectId, container, object })
  for (const { id } of await volumes.list(alice, {})) await volumes.delete(alice, id)
  t.same(await store.layersLeft(), empty, 'the last view frees the space')
})

async function objectsOf(store: TestStore, caller: ProjectCaller, container: string): Promise<string[]> {
  const listed = store.core.containers.list(caller, { projectId: caller.project.id, container }, {})
  try {
    return (await collected(listed)).flatMap((one) => (one.kind === 'item' ? [one.item.name] : []))
  } catch (error) {
    if ((error as { code?: string }).code === 'container_not_found') return []
    throw error
  }
}

/** undefined: removes it. */
async function setProperty(
  store: TestStore,
  caller: ProjectCaller,
  id: string,
  value: string | undefined,
): Promise<void> {
  const { properties } = await store.core.images.get(caller, id)
  const { EXCLUDE_ALL_TASKS: _, ...rest } = properties
  const changed = value === undefined ? rest : { ...rest, EXCLUDE_ALL_TASKS: value }
  await store.core.images.update(caller, id, { properties: changed })
}

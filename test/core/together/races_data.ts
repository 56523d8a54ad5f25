// Races for images, objects and identity.

import { objectLocation } from '../../../src/core/conversions/image_location.js'
import {
  active,
  all,
  container,
  inContainer,
  keys,
  object,
  queued,
  type Race,
  raw,
  swaps,
  times,
  type World,
} from './race.js'
import { pieces } from '../support.js'

export const dataRaces: Race[] = [
  // ---- images ----
  {
    what: 'an image is made by one ID',
    subject: async () => '',
    act: (core, { alice }) => core.images.create(alice, { ...raw, id: '11111111-2222-4333-8444-555555555555' }),
    winners: 1,
    refusals: ['image_exists'],
    after: async ({ core, alice }) => core.images.delete(alice, '11111111-2222-4333-8444-555555555555'),
  },
  {
    what: 'an image gets its data by uploads',
    subject: queued,
    act: (core, { alice }, id, i) => core.images.upload(alice, id, { body: pieces(`data ${i}`) }),
    winners: 1,
    refusals: ['image_in_use', 'image_has_data'],
    after: async ({ core, alice }, id) => (await core.images.get(alice, id)).status,
    expected: 'active',
  },
  {
    what: 'an image gets its data by a location',
    subject: queued,
    act: async (core, world, id) => {
      const url = objectLocation(inContainer(world, await shared(world)))
      await core.imageSources.register(world.alice, id, { url })
    },
    winners: 1,
    refusals: ['image_has_data'],
    after: async ({ core, alice }, id) => (await core.images.get(alice, id)).status,
    expected: 'active',
  },
  {
    what: 'an image gets its data while its format is changed',
    subject: queued,
    act: (core, { alice }, id, i) =>
      i === 0
        ? core.images.upload(alice, id, { body: pieces('data') })
        : core.images.update(alice, id, { diskFormat: 'iso' }).catch((error) => {
            if ((error as { code?: string }).code !== 'image_format_fixed') throw error
          }),
    winners: times,
    after: async ({ core, alice }, id) => (await core.images.get(alice, id)).diskFormat,
    expected: 'raw',
  },
  {
    what: 'an image is deleted',
    subject: active,
    act: (core, { alice }, id) => core.images.delete(alice, id),
    winners: 1,
    refusals: ['image_not_found'],
  },
  {
    what: 'an image is deactivated and activated',
    subject: active,
    act: (core, { admin }, id, i) => core.images.setActive(admin, id, i % 2 === 0),
    winners: times,
  },
  {
    what: 'an image is protected and deleted',
    subject: active,
    act: (core, { alice }, id, i) =>
      i % 2 === 0 ? core.images.delete(alice, id) : core.images.update(alice, id, { protected: true }),
    // Either one deletes it, or ten protect it.
    winners: Number.NaN,
    refusals: ['image_not_found', 'image_protected'],
  },

  // ---- objects ----
  {
    what: 'an object is put where none is',
    subject: container,
    act: (core, world, name, i) =>
      core.objects.put(world.alice, inContainer(world, name), {
        body: pieces(`${i}`),
        contentType: 'a/b',
        onlyIfNew: true,
      }),
    winners: 1,
    refusals: ['object_exists'],
    after: async ({ core, alice }, name) =>
      (await core.containers.get(alice, { projectId: alice.project.id, container: name })).objectCount,
    expected: 1,
  },
  {
    what: 'an object is put again and again',
    subject: container,
    act: (core, world, name, i) =>
      core.objects.put(world.alice, inContainer(world, name), { body: pieces(`${i % 10}`), contentType: 'a/b' }),
    winners: times,
    after: async ({ core, alice }, name) => {
      const { objectCount, bytesUsed } = await core.containers.get(alice, {
        projectId: alice.project.id,
        container: name,
      })
      return `${objectCount} objects, ${bytesUsed} bytes`
    },
    expected: '1 objects, 1 bytes',
  },
  {
    what: 'an object is copied where none is',
    subject: object,
    act: (core, world, name) =>
      core.objects.copy(
        world.alice,
        { from: inContainer(world, name), to: inContainer(world, name, 'copy') },
        { onlyIfNew: true },
      ),
    winners: 1,
    refusals: ['object_exists'],
  },
  {
    what: 'a copy adds to the metadata of the object itself',
    subject: object,
    act: (core, world, name, i) =>
      core.objects.copy(
        world.alice,
        { from: inContainer(world, name), to: inContainer(world, name) },
        { metadata: { [keys[i] as string]: 'v' } },
      ),
    winners: times,
    after: async (world, name) => (await world.core.objects.head(world.alice, inContainer(world, name))).metadata,
    expected: all,
  },
  {
    what: 'a copy is bound to what its source was',
    subject: async (world) => {
      const name = await object(world)
      await world.core.objects.update(world.alice, inContainer(world, name), { metadata: { version: 'old' } })
      return name
    },
    act: (core, world, name, i) =>
      core.objects.copy(
        world.alice,
        { from: inContainer(world, name), to: inContainer(world, name) },
        { metadata: { version: String(i) }, checkSource: ({ metadata }) => void swaps(i)(metadata) },
      ),
    winners: 1,
    refusals: [412],
  },
  {
    what: 'an object is deleted',
    subject: object,
    act: (core, world, name) => core.objects.delete(world.alice, inContainer(world, name)),
    winners: 1,
    refusals: ['object_not_found'],
  },
  {
    what: 'a container is made',
    subject: async ({ fresh }) => fresh(),
    act: async (core, { alice }, name) => {
      const { created } = await core.containers.put(alice, { projectId: alice.project.id, container: name })
      if (!created) throw Object.assign(new Error('was there'), { statusCode: 202 })
    },
    winners: 1,
    refusals: [202],
  },
  {
    what: 'a container is deleted',
    subject: container,
    act: (core, { alice }, name) => core.containers.delete(alice, { projectId: alice.project.id, container: name }),
    winners: 1,
    refusals: ['container_not_found'],
  },
  {
    what: 'a container is deleted and filled',
    subject: container,
    act: (core, world, name, i) =>
      i % 2 === 0
        ? core.containers.delete(world.alice, { projectId: world.alice.project.id, container: name })
        : core.objects.put(world.alice, inContainer(world, name, `o${i}`), { body: pieces('x'), contentType: 'a/b' }),
    winners: Number.NaN,
    refusals: ['container_not_found', 'container_not_empty'],
  },

  // ---- identity ----
  {
    what: 'a project is made by one name',
    subject: async ({ fresh }) => fresh(),
    act: (core, _, name) => core.identity.projects.create({ name }),
    winners: 1,
    refusals: ['name_taken'],
  },
  {
    what: 'projects are renamed to one name',
    subject: async ({ fresh }) => fresh(),
    act: async (core, { fresh }, name) => {
      const { id } = await core.identity.projects.create({ name: fresh() })
      await core.identity.projects.update(id, { name })
    },
    winners: 1,
    refusals: ['name_taken'],
  },
  {
    what: 'a role is taken away',
    subject: async ({ core, alice, admin }) => {
      const [reader] = await core.identity.roles.list({ name: 'reader' })
      await core.identity.grants.assign({
        userId: admin.user.id,
        projectId: alice.project.id,
        roleId: reader?.id as never,
      })
      return reader?.id as string
    },
    act: (core, { alice, admin }, roleId) =>
      core.identity.grants.unassign({ userId: admin.user.id, projectId: alice.project.id, roleId: roleId as never }),
    winners: 1,
    refusals: ['assignment_not_found'],
  },
]

/** The object that images are registered from. */
const sharedObjects = new WeakMap<World, Promise<string>>()
function shared(world: World): Promise<string> {
  const known = sharedObjects.get(world) ?? object(world)
  sharedObjects.set(world, known)
  return known
}

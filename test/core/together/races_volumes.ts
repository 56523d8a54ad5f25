// Races for volumes, snapshots and attachments, and for metadata of every kind.

import {
  adds,
  all,
  atMost,
  attachedVolume,
  attachment,
  conflict,
  container,
  host,
  keys,
  queued,
  type Race,
  removes,
  snapshot,
  stateOf,
  swaps,
  times,
  volume,
  volumeIn,
  volumeOf,
} from './race.js'

export const volumeRaces: Race[] = [
  // ---- metadata ----
  {
    what: 'metadata of a volume: different keys are added',
    act: (core, { alice }, id, i) => core.volumes.editMetadata(alice, id, adds(i)),
    winners: times,
    after: async (world, id) => (await volumeOf(world, id)).metadata,
    expected: all,
  },
  {
    what: 'metadata of a volume: compare and set',
    subject: async (world) => {
      const id = await volume(world)
      await world.core.volumes.editMetadata(world.alice, id, () => ({ version: 'old' }))
      return id
    },
    act: (core, { alice }, id, i) => core.volumes.editMetadata(alice, id, swaps(i)),
    winners: 1,
    refusals: [412],
  },
  {
    what: 'image metadata of a volume: different keys are added',
    act: (core, { alice }, id, i) => core.volumes.editImageMetadata(alice, id, adds(i)),
    winners: times,
    after: async (world, id) => (await volumeOf(world, id)).imageMetadata,
    expected: all,
  },
  {
    what: 'image metadata of a volume: one key is removed',
    subject: async (world) => {
      const id = await volume(world)
      await world.core.volumes.editImageMetadata(world.alice, id, () => all)
      return id
    },
    act: (core, { alice }, id) => core.volumes.editImageMetadata(alice, id, removes('k00')),
    winners: 1,
    refusals: [404],
    after: async (world, id) => Object.keys((await volumeOf(world, id)).imageMetadata).length,
    expected: times - 1,
  },
  {
    what: 'metadata of a snapshot: different keys are added',
    subject: snapshot,
    act: (core, { alice }, id, i) => core.snapshots.editMetadata(alice, id, adds(i)),
    winners: times,
    after: async ({ core, alice }, id) => (await core.snapshots.get(alice, id)).metadata,
    expected: all,
  },
  {
    what: 'properties of an image: different ones are added',
    subject: queued,
    act: (core, { alice }, id, i) =>
      core.imageSources.edit(alice, id, ({ properties }) => ({ change: { properties: adds(i)(properties) } })),
    winners: times,
    after: async ({ core, alice }, id) => (await core.images.get(alice, id)).properties,
    expected: all,
  },
  {
    what: 'tags of an image: different ones are added',
    subject: queued,
    act: (core, { alice }, id, i) => core.images.addTag(alice, id, keys[i] as string),
    winners: times,
    after: async ({ core, alice }, id) => (await core.images.get(alice, id)).tags,
    expected: keys,
  },
  {
    what: 'a tag of an image is removed',
    subject: async (world) => {
      const id = await queued(world)
      await world.core.images.addTag(world.alice, id, 'one')
      return id
    },
    act: (core, { alice }, id) => core.images.removeTag(alice, id, 'one'),
    winners: 1,
    refusals: ['image_tag_not_found'],
  },
  {
    what: 'metadata of a container: no more than its limit allows',
    subject: container,
    act: (core, { alice }, name, i) =>
      core.containers.update(
        alice,
        { projectId: alice.project.id, container: name },
        { setMetadata: { [keys[i] as string]: 'v' }, checkMetadata: atMost(5) },
      ),
    winners: 5,
    refusals: [400],
    after: async ({ core, alice }, name) =>
      Object.keys((await core.containers.get(alice, { projectId: alice.project.id, container: name })).metadata).length,
    expected: 5,
  },
  {
    what: 'metadata of an account: no more than its limit allows',
    subject: async ({ core, alice }) => {
      const { metadata } = await core.accounts.get(alice, alice.project.id)
      await core.accounts.update(alice, alice.project.id, { removeMetadata: Object.keys(metadata) })
      return alice.project.id
    },
    act: (core, { alice }, id, i) =>
      core.accounts.update(alice, id, { setMetadata: { [keys[i] as string]: 'v' }, checkMetadata: atMost(5) }),
    winners: 5,
    refusals: [400],
  },

  // ---- states of volumes ----
  {
    what: 'a volume is reserved',
    act: (core, { alice }, id) => core.connections.reserve(alice, id),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'attaching, 0 attachments',
  },
  {
    what: 'a reservation is given back',
    subject: volumeIn('attaching'),
    act: (core, { alice }, id) => core.connections.unreserve(alice, id),
    winners: times,
    after: stateOf,
    expected: 'available, 0 attachments',
  },
  {
    what: 'a reservation is given back while it is used',
    subject: volumeIn('attaching'),
    act: (core, { alice }, id, i) =>
      i % 2 === 0 ? core.connections.unreserve(alice, id) : core.connections.initialize(alice, id, host(0)),
    winners: times,
    after: stateOf,
    expected: 'attaching, 1 attachments',
  },
  {
    what: 'detaching begins',
    subject: volumeIn('in-use'),
    act: (core, { alice }, id) => core.connections.beginDetaching(alice, id),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'detaching, 0 attachments',
  },
  {
    what: 'detaching is rolled back',
    subject: volumeIn('detaching'),
    act: (core, { alice }, id) => core.connections.rollDetaching(alice, id),
    winners: times,
    after: stateOf,
    expected: 'in-use, 0 attachments',
  },
  {
    what: 'a state is compared and set',
    act: (core, { alice }, id) =>
      core.volumes.update(alice, id, { status: { from: ['available'], to: 'maintenance' } }),
    winners: 1,
    refusals: [conflict],
  },
  {
    what: 'a volume is marked read-only while it is attached',
    act: (core, { alice }, id, i) =>
      i === times / 2
        ? core.connections.attach(alice, id, { instanceId: 'i', mountpoint: '/dev/vdb', mode: 'rw' })
        : core.volumes.update(alice, id, { readOnly: i % 2 === 0, status: { from: ['available'], to: 'available' } }),
    winners: times / 2 + 1,
    refusals: [conflict, 'invalid_argument'],
    oneCore: true,
    after: async (world, id) => {
      const { status, readOnly, attachments } = await volumeOf(world, id)
      return `${status}, ${readOnly}, ${attachments[0]?.mode}`
    },
    expected: 'in-use, false, rw',
  },

  // ---- attachments ----
  {
    what: 'a volume is attached by host: os-initialize_connection of different hosts',
    act: (core, { alice }, id, i) => core.connections.initialize(alice, id, host(i)),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'attaching, 1 attachments',
  },
  {
    what: 'os-initialize_connection of one host is the same connection',
    act: (core, { alice }, id) => core.connections.initialize(alice, id, host(0)),
    winners: times,
    after: stateOf,
    expected: 'attaching, 1 attachments',
  },
  {
    what: 'a volume is attached to different instances: os-attach',
    act: (core, { alice }, id, i) =>
      core.connections.attach(alice, id, { instanceId: `i${i}`, mountpoint: '/dev/vdb' }),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'in-use, 1 attachments',
  },
  {
    what: 'an initialized connection is attached to different instances',
    subject: async (world) => {
      const id = await volume(world)
      await world.core.connections.initialize(world.alice, id, host(0))
      return id
    },
    act: (core, { alice }, id, i) =>
      core.connections.attach(alice, id, { instanceId: `i${i}`, mountpoint: '/dev/vdb' }),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'in-use, 1 attachments',
  },
  {
    what: 'an attachment is made for different instances',
    act: (core, { alice }, id, i) => core.attachments.create(alice, { volumeId: id, instanceId: `i${i}` }),
    winners: 1,
    refusals: [conflict],
    after: stateOf,
    expected: 'reserved, 1 attachments',
  },
  {
    what: 'an attachment gets its connector',
    subject: attachment,
    act: (core, { alice }, id, i) => core.attachments.update(alice, id, { connector: host(i) }),
    winners: times,
  },
  {
    what: 'an attachment is completed',
    subject: attachment,
    act: (core, { alice }, id) => core.attachments.complete(alice, id),
    winners: times,
  },
  {
    what: 'an attachment is deleted',
    subject: attachment,
    act: (core, { alice }, id) => core.attachments.delete(alice, id),
    winners: 1,
    refusals: ['attachment_not_found'],
  },
  {
    what: 'connections are terminated',
    subject: async (world) => {
      const id = await volume(world)
      await world.core.connections.initialize(world.alice, id, host(0))
      return id
    },
    act: (core, { alice }, id) => core.connections.terminate(alice, id, host(0)),
    winners: times,
    after: stateOf,
    expected: 'available, 0 attachments',
  },
  {
    what: 'a volume is detached',
    subject: attachedVolume,
    act: (core, { alice }, id) => core.connections.detach(alice, id, undefined),
    winners: times,
    after: stateOf,
    expected: 'available, 0 attachments',
  },
  {
    what: 'a volume is detached and attached',
    subject: attachedVolume,
    act: (core, { alice }, id, i) =>
      i === 0
        ? core.connections.detach(alice, id, undefined)
        : core.connections.attach(alice, id, { instanceId: `i${i}`, mountpoint: '/dev/vdb' }),
    winners: Number.NaN,
    refusals: [conflict],
    after: async (world, id) => (await volumeOf(world, id)).attachments.length <= 1,
    expected: true,
  },
  {
    what: 'a volume is deleted and attached',
    act: (core, { alice }, id, i) =>
      i % 2 === 0
        ? core.volumes.delete(alice, id)
        : core.connections.attach(alice, id, { instanceId: `i${i}`, mountpoint: '/dev/vdb' }),
    winners: 1,
    refusals: [conflict, 'volume_not_found', 'volume_attached'],
  },

  // ---- volumes and snapshots ----
  {
    what: 'a volume is extended to one size',
    act: (core, { alice }, id) => core.volumes.extend(alice, id, 2),
    winners: 1,
    refusals: ['invalid_argument'],
    oneCore: true,
    after: async (world, id) => (await volumeOf(world, id)).sizeGib,
    expected: 2,
  },
  {
    what: 'a volume is deleted',
    act: (core, { alice }, id) => core.volumes.delete(alice, id),
    winners: 1,
    refusals: ['volume_not_found'],
  },
  {
    what: 'a volume is deleted by force',
    subject: volumeIn('detaching'),
    act: (core, { admin }, id) => core.volumes.delete(admin, id, { force: true }),
    winners: 1,
    refusals: ['volume_not_found'],
  },
  {
    what: 'a snapshot is deleted',
    subject: snapshot,
    act: (core, { alice }, id) => core.snapshots.delete(alice, id),
    winners: 1,
    refusals: ['snapshot_not_found'],
  },
  {
    what: 'snapshots of one volume are taken',
    act: (core, { alice }, id) => core.snapshots.create(alice, { volumeId: id }),
    winners: times,
    oneCore: true,
    after: async ({ core, alice }, id) => core.snapshots.count(alice, { volumeId: id }),
    expected: times,
  },
  {
    what: 'a volume becomes images',
    act: (core, { alice }, id) => core.imageSources.createFromVolume(alice, id, { name: 'of a volume' }),
    winners: times,
    oneCore: true,
  },
  {
    what: 'a volume is cloned and deleted',
    act: (core, { alice }, id, i) =>
      i === times / 2
        ? core.volumes.delete(alice, id)
        : core.volumeSources.create(alice, { source: { kind: 'volume', id } }),
    winners: Number.NaN,
    refusals: ['volume_not_found'],
    oneCore: true,
  },
  {
    what: 'a volume is snapshotted, made an image, extended and deleted',
    act: (core, { alice }, id, i) =>
      [
        () => core.snapshots.create(alice, { volumeId: id }),
        () => core.imageSources.createFromVolume(alice, id, {}),
        () => core.volumes.extend(alice, id, 2 + i),
        () => core.volumes.delete(alice, id, { cascade: true }),
      ][i % 4]?.() as Promise<unknown>,
    winners: Number.NaN,
    refusals: ['volume_not_found', 'invalid_argument'],
    oneCore: true,
  },
  {
    what: 'a snapshot becomes volumes',
    subject: snapshot,
    act: (core, { alice }, id) => core.volumeSources.create(alice, { source: { kind: 'snapshot', id } }),
    winners: times,
  },
]

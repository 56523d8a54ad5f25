// What the operator's names stand for, and the end of a volume's connections. Connections themselves: test/e2e/export_names.test.ts.

import t from 'tap'
import type { ProjectCaller } from '../../../src/core/model/records.js'
import { pieces, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const { attachments, exports, images, snapshots, volumes, volumeSources } = store.core
exports.tenantAddress = { host: '127.0.0.1', port: 10809 }

const newVolume = (name?: string, caller: ProjectCaller = alice) =>
  volumeSources.create(caller, { source: { kind: 'blank' }, sizeGib: 1, name })

async function newImage(name: string): Promise<string> {
  const { id } = await images.create(alice, { name, diskFormat: 'raw', containerFormat: 'bare' })
  return id
}

t.test('a volume, a snapshot and an image are found by their IDs and by their unique names', async (t) => {
  const volume = await newVolume('disk')
  const snapshot = await snapshots.create(alice, { volumeId: volume.id, name: 'before the upgrade' })
  const image = await newImage('Debian 13')
  await images.upload(alice, image, { body: pieces('x') })
  for (const [name, id] of [
    ['disk', volume.id],
    ['before the upgrade', snapshot.id],
    ['Debian 13', image],
  ] as const) {
    t.same(await exports.find(name), { name: id })
    t.same(await exports.find(id), { name: id })
    t.match(await exports.open('operator', id), { label: id, description: `${id} (${name})` })
  }
  t.equal(await exports.open('tenant', 'disk'), null, 'the tenants’ door never finds by name')
  t.same(await exports.contexts('tenant', 'disk', { list: true, names: [] }), [])
  for (const other of ['Disk', 'disk ', ' disk', 'dis', 'disk\u0301', '']) {
    t.match(await exports.find(other), { refusal: 'there is no volume, snapshot or image with the ID or name' }, other)
  }
})

t.test('names of 255 characters of any kind are found, and errors repeat no more than 80 of them', async (t) => {
  for (const name of ['𝛼'.repeat(255), 'ä/?#%&\\"\'\n\t', '%', "' or 1=1 --", 'x'.repeat(255)]) {
    const { id } = await newVolume(name)
    t.same(await exports.find(name), { name: id })
  }
  const { refusal } = (await exports.find('𝛽'.repeat(4096 / 4))) as { refusal: string }
  t.match(refusal, `name "${'𝛽'.repeat(80)}…"`)
  t.ok(Buffer.byteLength(refusal) < 500)
})

t.test('a name that is not unique is refused with the candidates of every project, five at most', async (t) => {
  const volume = await newVolume('twins')
  const other = await newVolume('twins', bob)
  const image = await newImage('twins')
  await images.upload(alice, image, { body: pieces('x') })
  const snapshot = await snapshots.create(alice, { volumeId: volume.id, name: 'twins' })
  const { refusal } = (await exports.find('twins')) as { refusal: string }
  for (const candidate of [
    `volume ${volume.id} (project ${alice.project.id})`,
    `volume ${other.id} (project ${bob.project.id})`,
    `snapshot ${snapshot.id} (project ${alice.project.id})`,
    `image ${image} (project ${alice.project.id})`,
  ]) {
    t.match(refusal, candidate)
  }
  t.match(refusal, /; use an ID$/)
  for (let i = 0; i < 5; i++) await newVolume('twins')
  const { refusal: longer } = (await exports.find('twins')) as { refusal: string }
  t.equal(longer.match(/\(project /g)?.length, 5)
  t.match(longer, / and more; use an ID$/)
  t.ok(longer.length < 1000)
  t.same(await exports.find(volume.id), { name: volume.id })
})

t.test('an image without data is no export, and takes no name from one', async (t) => {
  await newImage('future')
  t.match(await exports.find('future'), { refusal: /^there is no / })
  const { id } = await newVolume('future')
  t.same(await exports.find('future'), { name: id })
})

t.test(
  'what has the form of an ID is an ID: a name never takes the place of one, also when that is deleted',
  async (t) => {
    const volume = await newVolume()
    await newVolume(volume.id, bob)
    await newVolume(volume.id.toUpperCase(), bob)
    t.same(await exports.find(volume.id), { name: volume.id })
    await volumes.delete(alice, volume.id)
    t.match(await exports.find(volume.id), { refusal: /^there is no / })
    t.match(await exports.find(volume.id.toUpperCase()), { refusal: /^there is no / })
  },
)

t.test('a name follows renaming and deletion at once', async (t) => {
  const first = await newVolume('wanted')
  const second = await newVolume('other')
  await volumes.update(alice, first.id, { name: 'renamed' })
  t.match(await exports.find('wanted'), { refusal: /^there is no / })
  await volumes.update(alice, second.id, { name: 'wanted' })
  t.same(await exports.find('wanted'), { name: second.id })
  t.same(await exports.find('renamed'), { name: first.id })
  await volumes.delete(alice, second.id)
  t.match(await exports.find('wanted'), { refusal: /^there is no / })
})

t.test('reconnect takes the ID or the unique name of a volume, and says when there is nothing to end', async (t) => {
  const volume = await newVolume('attached')
  await attachments.create(alice, { volumeId: volume.id, connector: { host: 'machine' } })
  const nothing = { volume: `volume ${volume.id} (attached)`, ended: 0, remaining: 0 }
  t.same(await exports.reconnect(volume.id), nothing)
  t.same(await exports.reconnect('attached'), nothing)
  // Only volumes are meant: what else has the name does not matter, and is none.
  const snapshot = await snapshots.create(alice, { volumeId: volume.id, name: 'attached', force: true })
  t.same(await exports.reconnect('attached'), nothing)
  const missing = { code: 'nothing_named', status: 404 }
  await t.rejects(exports.reconnect(snapshot.id), missing)
  await t.rejects(exports.reconnect(''), missing)
  await t.rejects(exports.reconnect('nobody'), { message: 'there is no volume with the ID or name "nobody"' })
  await newVolume('attached', bob)
  await t.rejects(exports.reconnect('attached'), { code: 'name_not_unique', status: 409, message: volume.id })
})

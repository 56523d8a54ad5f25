import { createHash } from 'node:crypto'
import t from 'tap'
import { objectLocation, parseLocation } from '../../../src/core/conversions/image_location.js'
import type { NewImage } from '../../../src/core/images/images.js'
import { GiB } from '../../../src/lib/units.js'
import { collect, pieces, refused, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const admin = await store.caller('admin', 'admin')
const reader = await store.caller('reader', 'reader', 'alice')
const { images, containers, objects, volumes, snapshots, imageSources, volumeSources } = store.core
const projectId = alice.project.id
const raw = { diskFormat: 'raw', containerFormat: 'bare' }
const digest = (kind: string, text: string) => createHash(kind).update(text).digest('hex')

async function withData(image: NewImage = {}, data = 'an image'): Promise<string> {
  const { id } = await images.create(alice, { ...raw, ...image })
  await images.upload(alice, id, { body: pieces(data) })
  return id
}

async function content(id: string): Promise<string> {
  const open = await images.open(alice, id)
  const data = await collect(open.read())
  await open.close()
  return data.toString()
}

async function newObject(data: string): Promise<{ projectId: string; container: string; object: string }> {
  const ref = { projectId, container: 'images', object: `dir/ä ${Math.random()}%2F.raw` }
  await containers.put(alice, ref)
  await objects.put(alice, ref, { body: pieces(data), contentType: 'application/octet-stream' })
  return ref
}

t.test('queued, saving, active: an image gets its data once', async (t) => {
  const image = await images.create(alice, { ...raw, name: 'n', tags: ['x', 'x', 'a'], properties: { p: '1' } })
  t.match(image, { status: 'queued', sizeBytes: null, resourceId: null, visibility: 'shared', owner: projectId })
  t.same(image.tags, ['a', 'x'])
  async function* body() {
    yield Buffer.from('an ')
    t.equal((await images.get(alice, image.id)).status, 'saving')
    await t.rejects(images.upload(alice, image.id, { body: pieces('x') }), { code: 'image_in_use', status: 409 })
    yield Buffer.from('image')
  }
  const active = await images.upload(alice, image.id, { body: body(), lengthBytes: 8 })
  t.match(active, {
    status: 'active',
    sizeBytes: 8,
    md5: digest('md5', 'an image'),
    sha256: digest('sha256', 'an image'),
  })
  t.equal(await content(image.id), 'an image')
  await t.rejects(images.upload(alice, image.id, { body: pieces('x') }), { code: 'image_has_data', status: 409 })
})

t.test('an upload that fails leaves the image queued and nothing stored', async (t) => {
  const before = await store.layersLeft()
  const { id } = await images.create(alice, raw)
  await t.rejects(images.upload(alice, id, { body: pieces('12345'), lengthBytes: 6 }), { code: 'upload_truncated' })
  t.match(await images.get(alice, id), { status: 'queued', sizeBytes: null })
  await t.rejects(images.open(alice, id), { code: 'image_not_ready' })
  t.same(await store.layersLeft(), before)
  await t.resolves(images.upload(alice, id, { body: pieces('123456'), lengthBytes: 6 }))
})

t.test('data needs formats first', async (t) => {
  const { id } = await images.create(alice, { diskFormat: 'raw' })
  await t.rejects(images.upload(alice, id, { body: pieces('x') }), { code: 'image_format_missing', status: 400 })
  await images.update(alice, id, { containerFormat: 'bare' })
  await t.resolves(images.upload(alice, id, { body: pieces('x') }))
})

t.test('an image that is deleted during its upload leaves nothing', async (t) => {
  const before = await store.layersLeft()
  const { id } = await images.create(alice, raw)
  async function* body() {
    yield Buffer.from('a')
    await images.delete(alice, id)
    yield Buffer.from('b')
  }
  await t.rejects(images.upload(alice, id, { body: body() }), { code: 'image_not_found' })
  t.same(await store.layersLeft(), before)
})

t.test('an upload that a crash interrupted is queued again after the start', async (t) => {
  const other = await TestStore.open(t)
  const carol = await other.caller('carol')
  const image = await other.core.images.create(carol, raw)
  await other.core.catalog.transaction(({ db }) => db.updateTable('images').set({ status: 'saving' }).execute())
  await other.restart()
  t.equal((await other.core.images.get(carol, image.id)).status, 'queued')
})

t.test('an object becomes an image without moving a byte, and neither needs the other', async (t) => {
  const ref = await newObject('an object')
  const { id } = await images.create(alice, raw)
  const { bytesWritten } = store.core.engine.counters()
  const image = await imageSources.register(alice, id, {
    url: objectLocation(ref),
    sizeBytes: 9,
    md5: digest('md5', 'an object').toUpperCase(),
    sha256: digest('sha256', 'an object'),
  })
  t.equal(store.core.engine.counters().bytesWritten, bytesWritten)
  t.match(image, { status: 'active', sizeBytes: 9, md5: digest('md5', 'an object'), location: objectLocation(ref) })
  await objects.delete(alice, ref)
  await store.core.settled()
  t.equal(await content(id), 'an object')
  const second = await newObject('another')
  const { id: other } = await images.create(alice, raw)
  await imageSources.register(alice, other, { url: objectLocation(second) })
  await images.delete(alice, other)
  await store.core.settled()
  t.equal((await objects.head(alice, second)).sizeBytes, 7)
})

t.test('what is expected of a location is verified', async (t) => {
  const ref = await newObject('an object')
  const { id } = await images.create(alice, raw)
  const register = (expected: object) => imageSources.register(alice, id, { url: objectLocation(ref), ...expected })
  await t.rejects(register({ sizeBytes: 8 }), { code: 'location_mismatch', status: 400, message: /size is 9, not 8/ })
  await t.rejects(register({ md5: 'f'.repeat(32) }), { code: 'location_mismatch' })
  await t.rejects(register({ sha256: 'f'.repeat(64) }), { code: 'location_mismatch' })
  t.equal((await images.get(alice, id)).status, 'queued')
})

t.test('a location names what the caller may see, or nothing', async (t) => {
  const ref = await newObject('an object')
  const { id } = await images.create(bob, raw)
  await t.rejects(imageSources.register(bob, id, { url: objectLocation(ref) }), refused(403))
  const { id: own } = await images.create(alice, raw)
  await t.rejects(imageSources.register(alice, own, { url: objectLocation({ ...ref, object: 'none' }) }), {
    code: 'object_not_found',
  })
  for (const url of [
    'http://x/y',
    'swift://a/b/c',
    'swift://AUTH_a/b',
    'cinder://volumes/x',
    'file:///etc/passwd',
    '',
    'swift://AUTH_a/b/%ff',
  ]) {
    await t.rejects(imageSources.register(alice, own, { url }), { code: 'location_not_served', status: 400 }, url)
  }
  t.match(parseLocation(objectLocation(ref)), { kind: 'object', object: ref })
})

t.test('a snapshot and a volume become images without moving a byte', async (t) => {
  const source = await withData({ properties: { os_type: 'linux' }, minRamMib: 64 }, 'disk')
  const volume = await volumeSources.create(alice, { source: { kind: 'image', id: source }, sizeGib: 1 })
  const snapshot = await snapshots.create(alice, { volumeId: volume.id })
  const { bytesWritten } = store.core.engine.counters()
  const ids: string[] = []
  for (const url of [`cinder://snapshots/${snapshot.id}`, `cinder://volumes/${volume.id}`]) {
    const { id } = await images.create(alice, raw)
    t.match(await imageSources.register(alice, id, { url, sizeBytes: GiB }), {
      status: 'active',
      sizeBytes: GiB,
      md5: null,
    })
    ids.push(id)
  }
  const uploaded = await imageSources.createFromVolume(alice, volume.id, { name: 'v', minRamMib: 1 })
  t.match(uploaded, { status: 'active', diskFormat: 'raw', containerFormat: 'bare', sizeBytes: GiB })
  t.same(uploaded.properties, { os_type: 'linux' }, 'of its image, what is about any image')
  const shared = await imageSources.createFromSnapshot(alice, snapshot.id, { name: 's' })
  t.equal(shared.resourceId, snapshot.resourceId)
  t.equal(store.core.engine.counters().bytesWritten, bytesWritten)
  await snapshots.delete(alice, snapshot.id)
  await volumes.delete(alice, volume.id)
  await images.delete(alice, source)
  await store.core.settled()
  for (const id of [...ids, uploaded.id, shared.id]) {
    const open = await images.open(alice, id)
    t.equal((await collect(open.read({ start: 0, end: 5 }))).toString(), 'disk\0')
    await open.close()
  }
  await t.rejects(imageSources.createFromVolume(alice, volume.id, {}), { code: 'volume_not_found' })
})

t.test('a volume is a raw disk, whatever is asked for', async (t) => {
  const volume = await volumeSources.create(alice, { source: { kind: 'blank' }, sizeGib: 1 })
  const before = await images.list(alice, {})
  await t.rejects(imageSources.createFromVolume(alice, volume.id, { diskFormat: 'qcow2' }), refused(400))
  t.equal((await images.list(alice, {})).length, before.length)
})

t.test('who sees which image', async (t) => {
  const made = async (visibility: NewImage['visibility']) =>
    (await images.create(admin, { name: `${visibility}`, visibility, owner: projectId })).id
  const ids = {
    public: await made('public'),
    private: await made('private'),
    shared: await made('shared'),
    community: await made('community'),
  }
  const names = async (caller: typeof bob, query = {}) =>
    (await images.list(caller, { ...query, name: ['public', 'private', 'shared', 'community'] }))
      .map(({ name }) => name)
      .sort()
  t.same(await names(alice), ['community', 'private', 'public', 'shared'])
  t.same(await names(bob), ['public'])
  t.same(await names(bob, { visibility: 'all' }), ['community', 'public'])
  t.same(await names(bob, { visibility: 'community' }), ['community'])
  t.same(await names(bob, { visibility: 'private' }), [])
  t.same(await names(admin), ['community', 'private', 'public', 'shared'])
  for (const id of [ids.public, ids.community]) await t.resolves(images.get(bob, id))
  for (const id of [ids.private, ids.shared])
    await t.rejects(images.get(bob, id), { code: 'image_not_found', status: 404 })
  await t.rejects(images.get(alice, 'not-a-uuid'), { code: 'image_not_found' })
})

t.test('to see an image is not to own it', async (t) => {
  const { id } = await images.create(admin, { ...raw, visibility: 'public' })
  for (const caller of [alice, bob]) {
    await t.rejects(images.update(caller, id, { name: 'mine' }), { code: 'not_allowed', status: 403 })
    await t.rejects(images.delete(caller, id), { code: 'not_allowed' })
    await t.rejects(images.upload(caller, id, { body: pieces('x') }), { code: 'not_allowed' })
    await t.rejects(images.addTag(caller, id, 'x'), { code: 'not_allowed' })
  }
  const own = await withData()
  await t.resolves(images.get(reader, own))
  await t.rejects(images.create(reader, raw), { code: 'not_allowed' })
  await t.rejects(images.update(reader, own, {}), { code: 'not_allowed' })
  await t.rejects(images.delete(reader, own), { code: 'not_allowed' })
})

t.test('publishing and giving away are for admins; the owner and admins deactivate', async (t) => {
  const id = await withData()
  await t.rejects(images.create(alice, { visibility: 'public' }), { code: 'not_allowed' })
  await t.rejects(images.update(alice, id, { visibility: 'public' }), { code: 'not_allowed' })
  await t.rejects(images.create(alice, { owner: bob.project.id }), { code: 'not_allowed' })
  await t.rejects(images.update(alice, id, { owner: bob.project.id }), { code: 'not_allowed' })
  await t.rejects(images.setActive(bob, id, false), { code: 'image_not_found' })
  await images.setActive(alice, id, false)
  await images.setActive(alice, id, true)
  await t.rejects(images.update(admin, id, { owner: 'f'.repeat(32) }), { code: 'project_not_found' })
  await images.setActive(admin, id, false)
  const volume = volumeSources.create(alice, { source: { kind: 'image', id } })
  await t.rejects(volume, { code: 'image_not_ready' })
  await images.setActive(admin, id, true)
  await images.update(admin, id, { visibility: 'public' })
  await t.resolves(
    images.update(alice, id, { visibility: 'public', name: 'kept' }),
    'what it is already may be said again',
  )
})

t.test('a protected image is not deleted', async (t) => {
  const id = await withData({ protected: true })
  await t.rejects(images.delete(alice, id), { code: 'image_protected', status: 403 })
  await images.update(alice, id, { protected: false })
  await images.delete(alice, id)
  await t.rejects(images.get(alice, id), { code: 'image_not_found' })
})

t.test('a change changes what it names', async (t) => {
  const id = await withData({ name: 'a', properties: { p: '1', q: '2' }, tags: ['t'], minDiskGib: 2 })
  await images.update(alice, id, { name: 'b', properties: { q: '3' } })
  await images.addTag(alice, id, 'u')
  await images.addTag(alice, id, 'u')
  await images.removeTag(alice, id, 't')
  const image = await images.get(alice, id)
  t.match(image, { name: 'b', minDiskGib: 2, status: 'active', tags: ['u'] })
  t.same(image.properties, { q: '3' })
})

t.test('ids may be chosen, once', async (t) => {
  const id = '6f1f2a3e-0b6c-4c57-9a6e-1c0de7a5c001'
  t.equal((await images.create(alice, { id })).id, id)
  await t.rejects(images.create(alice, { id }), { code: 'image_exists', status: 409 })
  await t.rejects(images.create(alice, { id: 'x' }), refused(400))
})

t.test('properties and tags are bounded by number and length, however they are added', async (t) => {
  const many = (count: number, length = 1) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`property ${i}`, 'ä'.repeat(length)]))
  const tags = Array.from({ length: 128 }, (_, i) => `tag ${i}`)
  const { id } = await images.create(alice, { properties: many(128), tags })
  const tooMuch: [string, () => Promise<unknown>][] = [
    ['image_property_limit', () => images.create(alice, { properties: many(129) })],
    ['image_property_limit', () => images.update(alice, id, { properties: many(129) })],
    // 150,000 characters of two bytes each.
    ['image_properties_too_long', () => images.create(alice, { properties: many(5, 30_000) })],
    ['image_properties_too_long', () => images.update(alice, id, { properties: many(5, 30_000) })],
    ['image_tag_limit', () => images.create(alice, { tags: [...tags, 'one more'] })],
    ['image_tag_limit', () => images.update(alice, id, { tags: [...tags, 'one more'] })],
    ['image_tag_limit', () => images.addTag(alice, id, 'one more')],
  ]
  for (const [code, attempt] of tooMuch) await t.rejects(attempt(), { code, status: 413 })
  await images.addTag(alice, id, 'tag 1')
  const image = await images.get(alice, id)
  t.equal(image.tags.length, 128)
  t.equal(Object.keys(image.properties).length, 128)
  await images.delete(alice, id)
})

t.test('filters filter', async (t) => {
  const tag = 'filters'
  const small = await withData({ name: 'small', tags: [tag], properties: { os: 'a', arch: 'x' } }, '1')
  const large = await withData(
    { name: 'large', tags: [tag, 'two'], properties: { os: 'b', arch: 'x' }, protected: true },
    '1234567',
  )
  const { id: queued } = await images.create(alice, { name: 'queued', tags: [tag], diskFormat: 'iso', hidden: true })
  const found = async (query: object): Promise<string[]> =>
    (await images.list(alice, { tags: [tag], ...query })).map(({ id }) => id).sort()
  t.same(await found({}), [small, large].sort())
  t.same(await found({ hidden: true }), [queued])
  t.same(await found({ tags: [tag, 'two'] }), [large])
  t.same(await found({ name: ['small', 'none'] }), [small])
  t.same(await found({ properties: { arch: 'x', os: 'b' } }), [large])
  t.same(await found({ properties: { os: '%' } }), [])
  t.same(await found({ minSizeBytes: 2 }), [large])
  t.same(await found({ maxSizeBytes: 2 }), [small])
  t.same(await found({ protected: true }), [large])
  t.same(await found({ md5: digest('md5', '1') }), [small])
  t.same(await found({ status: ['queued'] }), [])
  t.same(await found({ diskFormat: ['iso'], hidden: true }), [queued])
  t.same(await found({ owner: bob.project.id }), [])
  const { createdAt } = await images.get(alice, large)
  t.ok((await found({ createdAt: [{ operator: 'gte', value: createdAt }] })).includes(large))
  t.same(await found({ createdAt: [{ operator: 'gt', value: Date.now() }] }), [])
})

t.test('pages in any order make the whole list', async (t) => {
  for (let i = 0; i < 11; i++) await images.create(alice, { name: i % 3 === 0 ? null : `n${i % 4}`, tags: ['pages'] })
  for (const key of ['name', 'created_at', 'size', 'id', 'disk_format'] as const) {
    for (const direction of ['asc', 'desc'] as const) {
      const query = { tags: ['pages'], sort: [{ key, direction }] }
      const whole = (await images.list(alice, query)).map(({ id }) => id)
      const paged: string[] = []
      for (;;) {
        const page = await images.list(alice, { ...query, marker: paged.at(-1) as never, limit: 4 })
        if (page.length === 0) break
        paged.push(...page.map(({ id }) => id))
      }
      t.equal(whole.length, 11)
      t.same(paged, whole, `${key} ${direction}`)
    }
  }
  await t.rejects(images.list(alice, { marker: 'none' as never }), { code: 'image_not_found' })
})

import { createHash } from 'node:crypto'
import t from 'tap'
import { collected } from '../../../src/core/lists/slices.js'
import { MiB } from '../../../src/lib/units.js'
import { collect, type Dice, newDice, pieces, refused, TestStore } from '../support.js'

const store = await TestStore.open(t)
const alice = await store.caller('alice')
const bob = await store.caller('bob')
const admin = await store.caller('admin', 'admin')
const reader = await store.caller('reader', 'reader', 'alice')
const { accounts, containers, objects } = store.core
const projectId = alice.project.id
const md5 = (text: string | Buffer) => createHash('md5').update(text).digest('hex')
const octets = { contentType: 'application/octet-stream' }

let count = 0
async function newContainer(): Promise<{ projectId: string; container: string }> {
  const ref = { projectId, container: `c${++count}` }
  await containers.put(alice, ref)
  return ref
}

async function content(ref: { projectId: string; container: string; object: string }): Promise<string> {
  const open = await objects.open(alice, ref)
  const data = await collect(open.read())
  await open.close()
  return data.toString()
}

t.test('an object comes back as it was put', async (t) => {
  const ref = { ...(await newContainer()), object: 'a/b c.txt' }
  const put = await objects.put(alice, ref, {
    body: pieces('hello ', 'world'),
    lengthBytes: 11,
    md5: md5('hello world').toUpperCase(),
    contentType: 'text/plain',
    metadata: { colour: 'red', __proto__x: 'y' },
    headers: { 'content-encoding': 'x' },
  })
  t.match(put, { name: 'a/b c.txt', sizeBytes: 11, md5: md5('hello world'), contentType: 'text/plain' })
  t.equal(put.sha256, createHash('sha256').update('hello world').digest('hex'))
  const head = await objects.head(alice, ref)
  t.same(head, put)
  t.same(head.metadata, { colour: 'red', __proto__x: 'y' })
  t.equal(await content(ref), 'hello world')
  const open = await objects.open(alice, ref)
  t.equal((await collect(open.read({ start: 2, end: 5 }))).toString(), 'llo')
  t.equal((await collect(open.read({ start: 0, end: 1 }))).toString(), 'h')
  await open.close()
})

t.test('an empty object is an object', async (t) => {
  const ref = { ...(await newContainer()), object: 'empty' }
  await objects.put(alice, ref, { body: pieces(), lengthBytes: 0, ...octets })
  t.match(await objects.head(alice, ref), { sizeBytes: 0, md5: md5('') })
  t.equal(await content(ref), '')
})

t.test('what does not arrive as promised is refused and leaves nothing', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  const before = await store.layersLeft()
  const put = (upload: object) => objects.put(alice, ref, { body: pieces('12345'), ...octets, ...upload })
  await t.rejects(put({ md5: md5('x') }), { code: 'checksum_mismatch', status: 422 })
  await t.rejects(put({ lengthBytes: 6 }), { code: 'upload_truncated' })
  await t.rejects(put({ lengthBytes: 4 }), { code: 'upload_truncated' })
  await t.rejects(put({ maxBytes: 4 }), { code: 'upload_too_large', status: 413 })
  await t.rejects(put({ maxBytes: 4, lengthBytes: 5 }), { code: 'upload_too_large' })
  await t.rejects(objects.head(alice, ref), { code: 'object_not_found' })
  t.match(await containers.get(alice, ref), { objectCount: 0, bytesUsed: 0 })
  t.same(await store.layersLeft(), before)
})

t.test('only if new: refused before and after the bytes came', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  const put = (body: AsyncIterable<Uint8Array>) => objects.put(alice, ref, { body, onlyIfNew: true, ...octets })
  async function* slowly() {
    await put(pieces('the faster one'))
    yield Buffer.from('the slower one')
  }
  await t.rejects(put(slowly()), { code: 'object_exists', status: 412 })
  await t.rejects(put(pieces('late')), { code: 'object_exists' })
  t.equal(await content(ref), 'the faster one')
})

t.test('an object that is replaced while it is read is read to its end', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  await objects.put(alice, ref, { body: pieces(Buffer.alloc(6 * MiB, 'a')), ...octets })
  const open = await objects.open(alice, ref)
  await objects.put(alice, ref, { body: pieces('b'), ...octets })
  t.ok((await collect(open.read())).equals(Buffer.alloc(6 * MiB, 'a')))
  await open.close()
  t.equal(await content(ref), 'b')
})

t.test('a container that is deleted during an upload takes the upload with it', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  const before = await store.layersLeft()
  async function* body() {
    yield Buffer.from('a')
    await containers.delete(alice, ref)
    yield Buffer.from('b')
  }
  await t.rejects(objects.put(alice, ref, { body: body(), ...octets }), { code: 'container_not_found' })
  t.same(await store.layersLeft(), before)
})

t.test('a copy moves no data and is independent', async (t) => {
  const { container } = await newContainer()
  const from = { projectId, container, object: 'from' }
  const to = { projectId, container, object: 'to' }
  await objects.put(alice, from, { body: pieces('data'), contentType: 'text/plain', metadata: { a: '1', b: '2' } })
  const { bytesWritten } = store.core.engine.counters()
  const { copy } = await objects.copy(alice, { from, to }, { metadata: { b: '3' } })
  t.equal(store.core.engine.counters().bytesWritten, bytesWritten)
  t.match(copy, { md5: md5('data'), contentType: 'text/plain', metadata: { a: '1', b: '3' } })
  await objects.delete(alice, from)
  await store.core.settled()
  t.equal(await content(to), 'data')
  const fresh = await objects.copy(alice, { from: to, to }, { fresh: true, metadata: { c: '4' }, contentType: 'x/y' })
  t.same(fresh.copy.metadata, { c: '4' })
  t.match(await objects.head(alice, to), { contentType: 'x/y', metadata: { c: '4' } })
  t.equal(await content(to), 'data', 'copied onto itself')
})

t.test('a POST replaces metadata as a whole and leaves the bytes', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  const put = await objects.put(alice, ref, {
    body: pieces('data'),
    metadata: { a: '1' },
    headers: { h: '1' },
    ...octets,
  })
  await objects.update(alice, ref, { metadata: { b: '2' } })
  t.match(await objects.head(alice, ref), {
    metadata: { b: '2' },
    headers: { h: '1' },
    md5: put.md5,
    createdAt: put.createdAt,
  })
  t.notOk('a' in (await objects.head(alice, ref)).metadata)
})

t.test('counters are right after everything', async (t) => {
  const dice = newDice(t)
  const refs = [await newContainer(), await newContainer()]
  const expected = new Map<string, number>()
  const random = (dice: Dice) => ({ ...dice.pick(refs), object: `o${dice.below(6)}` })
  for (let i = 0; i < 120; i++) {
    const ref = random(dice)
    const key = `${ref.container}/${ref.object}`
    const action = dice.below(3)
    if (action === 0) {
      const size = dice.below(5000)
      await objects.put(alice, ref, { body: pieces(Buffer.alloc(size, '1')), ...octets })
      expected.set(key, size)
    } else if (action === 1) {
      const deleted = await objects.delete(alice, ref).then(
        () => true,
        () => false,
      )
      if (deleted !== expected.delete(key)) t.fail(`delete of ${key}: ${deleted}`)
    } else {
      const to = random(dice)
      const copied = await objects.copy(alice, { from: ref, to }).then(
        () => true,
        () => false,
      )
      if (copied !== expected.has(key)) t.fail(`copy of ${key}: ${copied}`)
      if (copied) expected.set(`${to.container}/${to.object}`, expected.get(key) as number)
    }
  }
  for (const ref of refs) {
    const mine = [...expected].filter(([key]) => key.startsWith(`${ref.container}/`))
    const bytesUsed = mine.reduce((sum, [, size]) => sum + size, 0)
    t.match(await containers.get(alice, ref), { objectCount: mine.length, bytesUsed })
  }
  const account = await accounts.get(alice, projectId)
  const listed = await collected(accounts.list(alice, projectId, {}))
  const all = listed.flatMap((line) => (line.kind === 'item' ? [line.item] : []))
  t.equal(account.containerCount, all.length)
  t.equal(
    account.objectCount,
    all.reduce((sum, { objectCount }) => sum + objectCount, 0),
  )
  t.equal(
    account.bytesUsed,
    all.reduce((sum, { bytesUsed }) => sum + bytesUsed, 0),
  )
})

t.test('containers: made once, changed, deleted when empty', async (t) => {
  const ref = { projectId, container: 'box' }
  t.same(await containers.put(alice, ref, { metadata: { a: '1' } }), { created: true })
  t.same(await containers.put(alice, ref, { change: { setMetadata: { b: '2' } } }), { created: false })
  t.same((await containers.get(alice, ref)).metadata, { a: '1', b: '2' })
  await containers.update(alice, ref, { removeMetadata: ['a'], setHeaders: { 'x-container-read': '.r:*' } })
  t.match(await containers.get(alice, ref), { metadata: { b: '2' }, headers: { 'x-container-read': '.r:*' } })
  await objects.put(alice, { ...ref, object: 'o' }, { body: pieces('1'), ...octets })
  await t.rejects(containers.delete(alice, ref), { code: 'container_not_empty', status: 409 })
  await objects.delete(alice, { ...ref, object: 'o' })
  await containers.delete(alice, ref)
  await t.rejects(containers.get(alice, ref), { code: 'container_not_found' })
  for (const container of ['', 'a/b', 'x'.repeat(257)])
    await t.rejects(containers.put(alice, { projectId, container }), refused(400))
})

t.test('an account is there from its first write on', async (t) => {
  const carol = await store.caller('carol')
  const id = carol.project.id
  t.match(await accounts.get(carol, id), { containerCount: 0, bytesUsed: 0, metadata: {}, createdAt: null })
  await accounts.update(carol, id, { setMetadata: { quota: '5' } })
  const account = await accounts.get(carol, id)
  t.same(account.metadata, { quota: '5' })
  t.type(account.createdAt, 'number')
})

t.test("another project's account is closed, whether it exists or not; an admin may enter", async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  await objects.put(alice, ref, { body: pieces('data'), ...octets })
  const nowhere = { ...ref, projectId: '0'.repeat(32) }
  for (const target of [ref, nowhere]) {
    await t.rejects(accounts.get(bob, target.projectId), refused(403))
    await t.rejects(containers.get(bob, target), refused(403))
    await t.rejects(objects.head(bob, target), refused(403))
    await t.rejects(objects.open(bob, target), refused(403))
    await t.rejects(objects.put(bob, target, { body: pieces('x'), ...octets }), refused(403))
    await t.rejects(objects.delete(bob, target), refused(403))
    await t.rejects(objects.copy(bob, { from: target, to: target }), refused(403))
  }
  t.equal((await objects.head(admin, ref)).sizeBytes, 4)
  await t.rejects(accounts.get(admin, nowhere.projectId), { code: 'account_not_found' })
})

t.test('a reader looks and changes nothing', async (t) => {
  const ref = { ...(await newContainer()), object: 'o' }
  await objects.put(alice, ref, { body: pieces('data'), ...octets })
  t.equal((await objects.head(reader, ref)).sizeBytes, 4)
  const notAllowed = { code: 'not_allowed', status: 403 }
  await t.rejects(objects.put(reader, ref, { body: pieces('x'), ...octets }), notAllowed)
  await t.rejects(objects.update(reader, ref, { metadata: {} }), notAllowed)
  await t.rejects(objects.delete(reader, ref), notAllowed)
  await t.rejects(objects.copy(reader, { from: ref, to: ref }), notAllowed)
  await t.rejects(containers.put(reader, ref), notAllowed)
  await t.rejects(containers.update(reader, ref, {}), notAllowed)
  await t.rejects(containers.delete(reader, ref), notAllowed)
  await t.rejects(accounts.update(reader, projectId, {}), notAllowed)
})

t.test('names: up to 1024 bytes, any characters', async (t) => {
  const { container } = await newContainer()
  const put = (object: string) => objects.put(alice, { projectId, container, object }, { body: pieces('1'), ...octets })
  const names = ['/', '//a', '.', '..', 'ä'.repeat(512), "';drop table objects;--", '%', '\u{1f600}']
  for (const name of names) await t.resolves(put(name), name)
  for (const name of ['', 'ä'.repeat(513), 'a\0b']) await t.rejects(put(name), refused(400))
  t.equal((await collected(containers.list(alice, { projectId, container }, {}))).length, names.length)
})

t.test('in the end nothing is left of what was deleted', async (t) => {
  const listed = await collected(accounts.list(alice, projectId, {}))
  for (const line of listed) {
    if (line.kind !== 'item') continue
    const ref = { projectId, container: line.item.name }
    for (const object of await collected(containers.list(alice, ref, {}))) {
      if (object.kind === 'item') await objects.delete(alice, { ...ref, object: object.item.name })
    }
    await containers.delete(alice, ref)
  }
  t.same(await store.layersLeft(), { rows: 0, engine: 0 })
  t.same((await store.core.engine.health.check({ layers: [], data: true })).findings, [])
})

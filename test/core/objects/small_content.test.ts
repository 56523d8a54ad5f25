import t from 'tap'
import { SmallContent } from '../../../src/core/objects/small_content.js'
import type { ResourceId } from '../../../src/lib/ids.js'
import { collect, pieces, TestStore } from '../support.js'

const id = (name: string) => name as ResourceId
const KiB = 1024

t.test('what was not asked for the longest goes first, and there are never more bytes than allowed', async (t) => {
  const small = new SmallContent(10 * KiB)
  const kept = () => ['a', 'b', 'c', 'd'].filter((name) => small.get(id(name)) !== undefined)
  for (const name of ['a', 'b']) small.keep(id(name), Buffer.alloc(4 * KiB, name))
  t.same(kept(), ['a', 'b'])
  small.get(id('a'))
  small.keep(id('c'), Buffer.alloc(4 * KiB, 'c'))
  t.same(kept(), ['a', 'c'])
  t.same(small.get(id('a')), Buffer.alloc(4 * KiB, 'a'))
  small.keep(id('a'), Buffer.alloc(4 * KiB, 'x'))
  t.same(small.get(id('a')), Buffer.alloc(4 * KiB, 'a'), 'it is there already')
  small.keep(id('d'), Buffer.alloc(11 * KiB))
  t.same(kept(), [])
})

t.test('many empty ones are too many as well', async (t) => {
  const small = new SmallContent(10 * KiB)
  for (let i = 0; i < 1000; i++) small.keep(id(`${i}`), Buffer.alloc(0))
  const kept = Array.from({ length: 1000 }, (_, i) => small.get(id(`${i}`))).filter((bytes) => bytes !== undefined)
  t.ok(kept.length > 0 && kept.length < 50, `${kept.length}`)
})

t.test(
  'a small object that is put anew, copied over or deleted is so at once, also when it was read before',
  async (t) => {
    const store = await TestStore.open(t)
    const { containers, objects } = store.core
    const caller = await store.caller('alice')
    const projectId = caller.project.id
    await containers.put(caller, { projectId, container: 'c' })
    const ref = { projectId, container: 'c', object: 'o' }
    const put = (object: string, text: string) =>
      objects.put(caller, { ...ref, object }, { body: pieces(text), contentType: 'text/plain' })
    const get = async () => {
      const open = await objects.open(caller, ref)
      try {
        return `${await collect(open.read())}`
      } finally {
        await open.close()
      }
    }
    await put('o', 'first')
    t.equal(await get(), 'first')
    t.equal(await get(), 'first')
    const open = await objects.open(caller, ref)
    await put('o', 'second')
    t.equal(await get(), 'second')
    t.equal(`${await collect(open.read())}`, 'first', 'who opened it before reads what it was')
    t.equal(`${await collect(open.read({ start: 1, end: 3 }))}`, 'ir')
    t.equal(`${await collect(open.read({ start: 2, end: 2 }))}`, '')
    await put('other', 'third')
    await objects.copy(caller, { from: { ...ref, object: 'other' }, to: ref })
    t.equal(await get(), 'third')
    await objects.delete(caller, ref)
    await t.rejects(get(), { code: 'object_not_found' })
    await put('o', '')
    t.equal(await get(), '')
    t.same((await store.layersLeft()).rows, 2, 'what is kept in memory keeps nothing on the disk')
  },
)

import t from 'tap'
import { Memo } from '../../src/catalog/memo.js'
import { TestStore } from '../core/support.js'

const store = await TestStore.open(t)

t.test('what was read is read again after a commit, when it was nothing, and when there is no room', async (t) => {
  const { catalog, identity } = store.core
  const memo = new Memo<string, string>(catalog, 2)
  const read: string[] = []
  const get = (key: string) =>
    memo.get(key, async () => {
      read.push(key)
      return key === 'nothing' ? undefined : `${key} ${read.length}`
    })
  t.equal(await get('a'), 'a 1')
  t.equal(await get('a'), 'a 1')
  await identity.projects.create({ name: 'a' })
  t.equal(await get('a'), 'a 2')
  t.equal(await get('nothing'), undefined)
  t.equal(await get('nothing'), undefined)
  t.equal(await get('b'), 'b 5')
  t.equal(await get('c'), 'c 6')
  t.equal(await get('a'), 'a 7')
  t.same(read, ['a', 'a', 'nothing', 'nothing', 'b', 'c', 'a'])
})

t.test('what was read before a commit is not remembered as of after it', async (t) => {
  const { catalog, identity } = store.core
  const memo = new Memo<string, string>(catalog, 10)
  let readOld = (_: string) => {}
  const old = memo.get('a', () => new Promise<string>((resolve) => (readOld = resolve)))
  await catalog.version() // the version that `old` asked for is there, too
  await identity.projects.create({ name: 'b' })
  // Another key makes the memo know the later version while the first reading is still under way.
  t.equal(await memo.get('b', async () => 'b'), 'b')
  readOld('before the commit')
  t.equal(await old, 'before the commit')
  t.equal(await memo.get('a', async () => 'after the commit'), 'after the commit')
})

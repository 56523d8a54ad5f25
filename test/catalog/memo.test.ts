import t from 'tap'
import { Memo } from '../../src/catalog/memo.js'
import { TestStore } from '../core/support.js'

const store = await TestStore.open(t)

t.test('what was read is read again after a commit, when it was nothing, and when there is no room', async (t) => {
  const { catalog, identity } = store.core
  const memo = new Memo<string, string>(catalog, 2)
  const read: string[] = []
  const get = (key: string) =>
    memo.get(key, () => {
      read.push(key)
      return key === 'nothing' ? undefined : `${key} ${read.length}`
    })
  t.equal(get('a'), 'a 1')
  t.equal(get('a'), 'a 1')
  await identity.createProject({ name: 'a' })
  t.equal(get('a'), 'a 2')
  t.equal(get('nothing'), undefined)
  t.equal(get('nothing'), undefined)
  t.equal(get('b'), 'b 5')
  t.equal(get('c'), 'c 6')
  t.equal(get('a'), 'a 7')
  t.same(read, ['a', 'a', 'nothing', 'nothing', 'b', 'c', 'a'])
})

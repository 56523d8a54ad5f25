import t from 'tap'
import { isUuid, newObjectId, newResourceId } from '../../src/lib/ids.js'

const kinds: (() => string)[] = [newResourceId, newObjectId]

t.test(
  'ids of resources and objects are UUIDs of version 7: in the order of their time, and no two alike',
  async (t) => {
    let now = Date.UTC(2026, 10, 24)
    t.intercept(Date, 'now', { value: () => now++ })
    for (const make of kinds) {
      const begin = now.toString(16).padStart(12, '0')
      const ids = Array.from({ length: 1000 }, make)
      t.equal(ids[0]?.replace('-', '').slice(0, 12), begin)
      t.same(ids, [...ids].sort())
      t.ok(ids.every((id) => isUuid(id) && id[14] === '7' && '89ab'.includes(id[19] as string)))
    }
    t.intercept(Date, 'now', { value: () => now })
    for (const make of kinds) t.equal(new Set(Array.from({ length: 1000 }, make)).size, 1000)
  },
)

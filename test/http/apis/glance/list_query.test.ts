import t from 'tap'
import { parseListQuery } from '../../../../src/http/apis/glance/requests/list_query.js'

t.test('without parameters the newest 25 come first', async (t) => {
  const query = parseListQuery({})
  t.equal(query.limit, 25)
  t.same(query.sort, [{ key: 'created_at', direction: 'desc' }])
  t.equal(query.properties, undefined)
})

t.test('in: names several values, and quotes keep a comma inside one', async (t) => {
  t.same(parseListQuery({ id: 'in:a,b' }).id, ['a', 'b'])
  t.same(parseListQuery({ name: 'in:"a,b", c ,"d\\"e"' }).name, ['a,b', 'c', 'd"e'])
  t.same(parseListQuery({ name: 'plain' }).name, ['plain'])
  t.throws(() => parseListQuery({ name: 'in:"a' }), { name: 'GlanceFault', statusCode: 400 })
})

t.test('both ways of naming an order are read, and not together', async (t) => {
  t.same(parseListQuery({ sort: 'name:asc,size' }).sort, [
    { key: 'name', direction: 'asc' },
    { key: 'size', direction: 'desc' },
  ])
  t.same(parseListQuery({ sort_key: ['name', 'id'], sort_dir: 'asc' }).sort, [
    { key: 'name', direction: 'asc' },
    { key: 'id', direction: 'asc' },
  ])
  t.throws(() => parseListQuery({ sort: 'name', sort_dir: 'asc' }), /cannot be combined/)
  t.throws(() => parseListQuery({ sort_key: 'name', sort_dir: ['asc', 'desc'] }), /does not match/)
  t.throws(() => parseListQuery({ sort_key: 'colour' }), /Invalid sort key/)
  t.throws(() => parseListQuery({ sort: 'name:up' }), /Invalid sort direction/)
})

t.test('a parameter that is no member of images is the value of a property', async (t) => {
  t.same(parseListQuery({ os_distro: 'debian' }).properties, { os_distro: 'debian' })
})

t.test('a filter that would not filter is refused', async (t) => {
  for (const name of ['virtual_size', 'min_disk', 'self', 'locations', 'os_hash_algo'])
    t.throws(() => parseListQuery({ [name]: '1' }), /cannot be filtered/, name)
})

t.test('times compare, and without an operator they are equal', async (t) => {
  const value = Date.UTC(2026, 0, 2, 3, 4, 5)
  t.same(parseListQuery({ created_at: 'gte:2026-01-02T03:04:05Z' }).createdAt, [{ operator: 'gte', value }])
  t.same(parseListQuery({ updated_at: '2026-01-02T03:04:05' }).updatedAt, [{ operator: 'eq', value }])
  t.same(parseListQuery({ created_at: ['gt:2026-01-02T03:04:05Z', 'lt:2026-01-02T04:04:05+01:00'] }).createdAt, [
    { operator: 'gt', value },
    { operator: 'lt', value },
  ])
  for (const text of ['x', 'gt:', 'above:2026-01-02', 'gt:2026-13-40']) {
    t.throws(() => parseListQuery({ created_at: text }), { name: 'GlanceFault', statusCode: 400 }, text)
  }
})

t.test('values that make no sense are refused', async (t) => {
  for (const query of [
    { limit: '-1' },
    { limit: 'x' },
    { visibility: 'secret' },
    { member_status: 'maybe' },
    { protected: 'perhaps' },
    { os_hidden: '' },
    { size_min: '-1' },
    { size_max: '1e3' },
    { 'changes-since': '2026-01-01' },
  ] as Record<string, string>[]) {
    t.throws(() => parseListQuery(query), { name: 'GlanceFault', statusCode: 400 }, JSON.stringify(query))
  }
})

t.test('a filter that is repeated where one counts is refused', async (t) => {
  for (const name of ['name', 'status', 'limit', 'visibility', 'size_min', 'os_distro'])
    t.throws(() => parseListQuery({ [name]: ['1', '1'] }), { name: 'GlanceFault', statusCode: 400 }, name)
})

t.test('more conditions than an image can meet are refused', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `x${i}`)
  t.equal(parseListQuery({ tag: many(128) }).tags?.length, 128)
  const properties = Object.fromEntries(many(129).map((name) => [name, 'v']))
  for (const query of [
    { tag: many(129) },
    properties,
    { created_at: Array.from({ length: 17 }, () => 'gt:2026-01-02T03:04:05Z') },
    { name: `in:${many(1001).join(',')}` },
    { sort: Array.from({ length: 9 }, () => 'name').join(',') },
  ])
    t.throws(() => parseListQuery(query), { name: 'GlanceFault', statusCode: 400 })
})

t.test('a page is never longer than a thousand', async (t) => {
  t.equal(parseListQuery({ limit: '999999' }).limit, 1000)
  t.equal(parseListQuery({ limit: '0' }).limit, 0)
})

import t from 'tap'
import { maxMinor } from '../../../../src/http/apis/cinder/microversion.js'
import { bootableFilter, metadataFilter } from '../../../../src/http/apis/cinder/requests/filters.js'
import { parseListParams } from '../../../../src/http/apis/cinder/requests/list_params.js'

const keys = { name: 'name', created_at: 'created_at' } as const

t.test('limit, marker, offset and order are read, the rest are filters', async (t) => {
  const params = parseListParams(
    { limit: '5', marker: 'm', offset: '2', sort: 'name:asc,created_at', status: 'x' },
    keys,
    maxMinor,
  )
  t.match(params, { limit: 5, marker: 'm', offset: 2, allTenants: false, withCount: false })
  t.same(params.sort, [
    { key: 'name', direction: 'asc' },
    { key: 'created_at', direction: 'desc' },
  ])
  t.same([...params.filters], [['status', 'x']])
})

t.test('an answer never holds more than a thousand', async (t) => {
  t.equal(parseListParams({ limit: '5000' }, keys, maxMinor).limit, 1000)
  t.equal(parseListParams({}, keys, maxMinor).limit, 1000)
})

t.test('all_tenants means yes when it is empty or a number above zero', async (t) => {
  for (const text of ['', '1', 'True', 'true', '2'])
    t.equal(parseListParams({ all_tenants: text }, keys, maxMinor).allTenants, true, text)
  for (const text of ['0', 'False', 'no'])
    t.equal(parseListParams({ all_tenants: text }, keys, maxMinor).allTenants, false, text)
})

t.test('parameters that make no sense are refused', async (t) => {
  for (const query of [
    { limit: '-1' },
    { limit: 'x' },
    { offset: '-1' },
    { sort: 'colour' },
    { sort: 'name:up' },
    { sort: 'name', sort_key: 'name' },
    { sort_key: '__proto__' },
    { all_tenants: 'maybe' },
    { with_count: 'maybe' },
    { sort: Array.from({ length: 13 }, () => 'name').join(',') },
  ] as Record<string, string>[]) {
    t.throws(
      () => parseListParams(query, keys, maxMinor),
      { name: 'CinderFault', statusCode: 400 },
      JSON.stringify(query),
    )
  }
})

t.test('bootable takes any word before 3.2 and clear words since', async (t) => {
  t.equal(bootableFilter('whatever', false), true)
  t.equal(bootableFilter('False', false), false)
  t.equal(bootableFilter('1', true), true)
  t.throws(() => bootableFilter('whatever', true), /Invalid input received: bootable=whatever/)
})

const filterOf = (members: number) => `{${Array.from({ length: members }, (_, i) => `'k${i}': 'v'`).join(',')}}`

t.test('a filter of metadata is read with the quotes of Python and of JSON', async (t) => {
  t.same(metadataFilter("{'k': 'v'}"), { k: 'v' })
  t.same(metadataFilter(`{u'k': u'it\\'s', "l": "w"}`), { k: "it's", l: 'w' })
  t.same(metadataFilter('{}'), {})
  t.same(metadataFilter(filterOf(128)), Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`k${i}`, 'v'])))
  t.throws(() => metadataFilter(filterOf(129)), { name: 'CinderFault', statusCode: 400 }, 'more than a volume may have')
  for (const text of ['', 'k=v', "{'k'}", "{'k': 7}", "{'k': 'v'"])
    t.throws(() => metadataFilter(text), { name: 'CinderFault', statusCode: 400 }, text)
})

import t from 'tap'
import { namesOf } from '../../../../src/http/apis/cinder/requests/names.js'
import { isTrue } from '../../../../src/http/apis/cinder/requests/validation.js'
import { parseCreateBody, parseUpdateBody } from '../../../../src/http/apis/cinder/requests/volume_body.js'

t.test('a body full of nulls is what clients send', async (t) => {
  const volume = {
    size: 1,
    name: null,
    description: null,
    snapshot_id: null,
    source_volid: null,
    consistencygroup_id: null,
    volume_type: null,
    availability_zone: null,
    metadata: {},
    imageRef: null,
    backup_id: null,
    multiattach: null,
  }
  t.same(parseCreateBody({ volume }, 0), volume)
  t.same(parseCreateBody({ volume }, 70), volume)
})

t.test('members that nobody knows are ignored before 3.53 and refused since', async (t) => {
  const body = { volume: { size: 1, status: 'creating', attach_status: 'detached' } }
  t.doesNotThrow(() => parseCreateBody(body, 52))
  t.throws(() => parseCreateBody(body, 53), /Additional properties are not allowed \('.*status' was unexpected\)/)
})

t.test('a wrong value is named, shown and explained', async (t) => {
  t.throws(() => parseCreateBody({ volume: { size: 'big' } }, 0), {
    statusCode: 400,
    message:
      'Invalid input for field/attribute size. Value: "big". It must be a whole number of GiB, 1 or more, or null.',
  })
  for (const size of [0, -1, 1.5, '0', '-1', '1.5', '', 2 ** 31, '99999999999'])
    t.throws(() => parseCreateBody({ volume: { size } }, 0), /attribute size/, String(size))
  t.throws(() => parseCreateBody({}, 0), /'volume' is a required property/)
  t.throws(() => parseCreateBody({ volume: { metadata: { 'a/b': 'c' } } }, 0), { name: 'CinderFault', statusCode: 400 })
  t.throws(() => parseCreateBody({ volume: { metadata: { a: 7 } } }, 0), { name: 'CinderFault', statusCode: 400 })
  t.throws(() => parseCreateBody({ volume: { name: 'x'.repeat(256) } }, 0), /attribute name/)
})

t.test('sizes may be written as text', async (t) => {
  t.equal(parseCreateBody({ volume: { size: '10' } }, 0).size, '10')
})

t.test('an empty change is fine before 3.53 and refused since', async (t) => {
  t.same(parseUpdateBody({ volume: {} }, 52), {})
  t.throws(() => parseUpdateBody({ volume: {} }, 53), { name: 'CinderFault', statusCode: 400 })
})

t.test('name and display_name are one thing, and white space around them is none', async (t) => {
  t.same(namesOf({ display_name: ' n ', description: null }), { name: 'n', description: null })
  t.same(namesOf({ name: 'n', display_name: 'd' }), { name: 'n' })
  t.same(namesOf({}), {})
})

t.test('flags are booleans or the words for them', async (t) => {
  for (const yes of [true, 'True', '1', 'on', 'y'] as const) t.equal(isTrue(yes), true)
  for (const no of [false, 'False', '0', 'off', 'n', null, undefined] as const) t.equal(isTrue(no), false)
})

import t from 'tap'
import type { SwiftError } from '../../../../src/http/apis/swift/errors.js'
import {
  checkPutConditionSyntax,
  checkReadConditions,
  rangeStillApplies,
} from '../../../../src/http/apis/swift/requests/conditional.js'
import { refusal } from '../../../../testkit/refusal.js'

const etag = 'd41d8cd98f00b204e9800998ecf8427e'
const other = '900150983cd24fb0d6963f7d28e17f72'
const modified = Date.UTC(2024, 0, 2, 3, 4, 5)
const current = { etag, modifiedSeconds: modified / 1000 }
const date = (seconds: number) => new Date(modified + seconds * 1000).toUTCString()

/** The status of the refusal; 200 when there is none. */
function status(headers: Parameters<typeof checkReadConditions>[0]): number {
  try {
    checkReadConditions(headers, current, () => ({}))
    return 200
  } catch (error) {
    return (error as SwiftError).status
  }
}

t.test('If-Match lets through what it names, with and without quotes', async (t) => {
  t.equal(status({ 'if-match': etag }), 200)
  t.equal(status({ 'if-match': `"${etag}"` }), 200)
  t.equal(status({ 'if-match': `"${other}", "${etag}"` }), 200)
  t.equal(status({ 'if-match': '*' }), 200)
  t.equal(status({ 'if-match': other }), 412)
})

t.test('If-None-Match answers 304 for what the client has', async (t) => {
  t.equal(status({ 'if-none-match': etag }), 304)
  t.equal(status({ 'if-none-match': `W/"${etag}"` }), 304)
  t.equal(status({ 'if-none-match': '*' }), 304)
  t.equal(status({ 'if-none-match': other }), 200)
})

t.test('If-Modified-Since answers 304 when nothing changed since', async (t) => {
  t.equal(status({ 'if-modified-since': date(0) }), 304)
  t.equal(status({ 'if-modified-since': date(1) }), 304)
  t.equal(status({ 'if-modified-since': date(-1) }), 200)
})

t.test('If-Unmodified-Since answers 412 when something changed since', async (t) => {
  t.equal(status({ 'if-unmodified-since': date(0) }), 200)
  t.equal(status({ 'if-unmodified-since': date(-1) }), 412)
})

t.test('an entity tag outweighs a date', async (t) => {
  t.equal(status({ 'if-none-match': other, 'if-modified-since': date(1) }), 200)
  t.equal(status({ 'if-match': etag, 'if-unmodified-since': date(-1) }), 200)
})

t.test('what is no date is not looked at', async (t) => {
  for (const nonsense of ['1', 'yesterday', '2024-01-02', '', 'Foo, 99 Bar 2024 99:99:99 GMT']) {
    t.equal(status({ 'if-modified-since': nonsense }), 200, nonsense)
    t.equal(status({ 'if-unmodified-since': nonsense }), 200, nonsense)
  }
})

t.test('the old forms of a date mean GMT', async (t) => {
  t.equal(status({ 'if-modified-since': 'Tue Jan  2 03:04:05 2024' }), 304)
  t.equal(status({ 'if-modified-since': 'Tue Jan  2 03:04:04 2024' }), 200)
  t.equal(status({ 'if-modified-since': 'Tuesday, 02-Jan-24 03:04:05 GMT' }), 304)
})

t.test('a PUT takes nothing but * in If-None-Match', async (t) => {
  t.doesNotThrow(() => checkPutConditionSyntax({ 'if-none-match': '*' }))
  t.doesNotThrow(() => checkPutConditionSyntax({}))
  t.match(
    refusal(() => checkPutConditionSyntax({ 'if-none-match': etag })),
    { status: 400 },
  )
})

t.test('If-Range keeps the range while the object is the same', async (t) => {
  t.equal(rangeStillApplies(undefined, current), true)
  t.equal(rangeStillApplies(`"${etag}"`, current), true)
  t.equal(rangeStillApplies(other, current), false)
  t.equal(rangeStillApplies(date(0), current), true)
  t.equal(rangeStillApplies(date(5), current), false)
})

t.test('a refusal carries its headers', async (t) => {
  const error = refusal(() => checkReadConditions({ 'if-none-match': etag }, current, () => ({ etag })))
  t.match(error, { status: 304, headers: { etag } })
})

import t from 'tap'
import { headerBytes, headerText } from '../../../../src/http/apis/swift/header_text.js'
import { coreChange, metadataChange } from '../../../../src/http/apis/swift/requests/metadata.js'
import { metadataHeaders } from '../../../../src/http/apis/swift/responses/metadata.js'
import { refusal } from '../../../../testkit/refusal.js'

t.test('only the headers of the thing itself are its metadata', async (t) => {
  const headers = { 'x-object-meta-a': '1', 'x-container-meta-b': '2', 'x-remove-container-meta-c': 'x', etag: 'e' }
  t.same(metadataChange(headers, 'object'), { set: { a: '1' }, remove: [] })
  t.same(metadataChange(headers, 'container'), { set: { b: '2' }, remove: ['c'] })
})

t.test('an empty value takes an item away', async (t) => {
  t.same(metadataChange({ 'x-account-meta-a': '' }, 'account'), { set: {}, remove: ['a'] })
})

t.test('setting outweighs removing in one request', async (t) => {
  const headers = { 'x-container-meta-a': '1', 'x-remove-container-meta-a': 'x' }
  t.same(metadataChange(headers, 'container'), { set: { a: '1' }, remove: [] })
})

t.test('values go through headers as UTF-8', async (t) => {
  const value = Buffer.from('5 €').toString('latin1')
  t.same(metadataChange({ 'x-object-meta-price': value }, 'object').set, { price: '5 €' })
  t.same(metadataHeaders({ price: '5 €' }, 'object'), { 'x-object-meta-price': value })
  t.match(
    refusal(() => headerText('\xff')),
    { status: 400 },
  )
})

t.test('no stored text can break a header line', async (t) => {
  t.equal(headerBytes('a\r\nSet-Cookie: x\0'), 'aSet-Cookie: x')
})

t.test('names, values, counts and the whole have limits', async (t) => {
  const change = (headers: Record<string, string>) => () => metadataChange(headers, 'object')
  t.doesNotThrow(change({ [`x-object-meta-${'n'.repeat(128)}`]: 'v'.repeat(256) }))
  t.match(refusal(change({ 'x-object-meta-': 'v' })), { status: 400, text: 'Metadata name cannot be empty' })
  t.match(refusal(change({ [`x-object-meta-${'n'.repeat(129)}`]: 'v' })), {
    status: 400,
    text: /Metadata name too long/,
  })
  t.match(refusal(change({ 'x-object-meta-n': 'v'.repeat(257) })), {
    status: 400,
    text: /Metadata value longer than 256/,
  })
  const items = (count: number, value: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-object-meta-${index}`, value]))
  t.doesNotThrow(change(items(90, 'v')))
  t.match(refusal(change(items(91, 'v'))), { status: 400, text: 'Too many metadata items; max 90' })
  t.match(refusal(change(items(17, 'v'.repeat(256)))), { status: 400, text: 'Total metadata too large; max 4096' })
})

t.test('a change is judged by its outcome', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`n${index}`, 'v']))
  const { checkMetadata, ...change } = coreChange({ set: { b: '3' }, remove: ['a', 'z'] })
  t.same(change, { setMetadata: { b: '3' }, removeMetadata: ['a', 'z'] })
  t.match(
    refusal(() => checkMetadata?.({ ...many, more: 'v' })),
    { status: 400 },
  )
  t.doesNotThrow(() => checkMetadata?.(many))
})

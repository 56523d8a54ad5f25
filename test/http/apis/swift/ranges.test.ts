import t from 'tap'
import { parseRanges } from '../../../../src/http/apis/swift/requests/ranges.js'
import { contentRange, multipartFrame } from '../../../../src/http/apis/swift/responses/multipart.js'

t.test('a range names its first and last byte', async (t) => {
  t.same(parseRanges('bytes=0-0', 10), [{ start: 0, end: 1 }])
  t.same(parseRanges('bytes=2-5', 10), [{ start: 2, end: 6 }])
  t.same(parseRanges('bytes=2-', 10), [{ start: 2, end: 10 }])
  t.same(parseRanges('BYTES=2-5', 10), [{ start: 2, end: 6 }])
})

t.test('a last byte beyond the end means the end', async (t) => {
  t.same(parseRanges('bytes=5-1000', 10), [{ start: 5, end: 10 }])
})

t.test('a suffix range counts from the end and is no longer than the object', async (t) => {
  t.same(parseRanges('bytes=-3', 10), [{ start: 7, end: 10 }])
  t.same(parseRanges('bytes=-30', 10), [{ start: 0, end: 10 }])
})

t.test('several ranges keep their order', async (t) => {
  t.same(parseRanges('bytes=8-9,0-1, 4-4', 10), [
    { start: 8, end: 10 },
    { start: 0, end: 2 },
    { start: 4, end: 5 },
  ])
})

t.test('a range that lies behind the end is left out, and nothing is left when all do', async (t) => {
  t.same(parseRanges('bytes=10-,2-3', 10), [{ start: 2, end: 4 }])
  t.same(parseRanges('bytes=10-20', 10), [])
  t.same(parseRanges('bytes=-0', 10), [])
  t.same(parseRanges('bytes=0-0', 0), [])
})

t.test('a suffix of an empty object is all of it', async (t) => {
  t.equal(parseRanges('bytes=-5', 0), undefined)
})

t.test('spaces around the equals sign are ignored', async (t) => {
  t.same(parseRanges('bytes = 0-9', 20), [{ start: 0, end: 10 }])
  t.same(parseRanges('BYTES=0-9', 20), [{ start: 0, end: 10 }])
})

t.test('a header that is no range of bytes is not looked at', async (t) => {
  for (const header of [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=1-2,',
    'bytes=1-2,x',
    'items=0-1',
    'bytes=1--2',
    'bytes=1.5-2',
  ]) {
    t.equal(parseRanges(header, 10), undefined, String(header))
  }
})

t.test('numbers beyond all counting are the end or behind it, and nothing overflows', async (t) => {
  t.same(parseRanges('bytes=0-99999999999999999999999999', 10), [{ start: 0, end: 10 }])
  t.same(parseRanges('bytes=99999999999999999999999999-', 10), [])
  t.same(parseRanges('bytes=-99999999999999999999999999', 10), [{ start: 0, end: 10 }])
})

t.test('sets of ranges that are only there to make work are refused', async (t) => {
  const many = Array.from({ length: 51 }, (_, index) => `${index * 2}-${index * 2}`).join(',')
  t.same(parseRanges(`bytes=${many}`, 1000), [])
  t.same(parseRanges('bytes=0-9,0-9,0-9,0-9', 10), [])
  const backwards = Array.from({ length: 9 }, (_, index) => `${100 - index * 2}-${100 - index * 2}`).join(',')
  t.same(parseRanges(`bytes=${backwards}`, 1000), [])
})

t.test('Content-Range names the last byte and the size', async (t) => {
  t.equal(contentRange({ start: 2, end: 6 }, 10), 'bytes 2-5/10')
})

t.test('the length of a multipart frame is that of what is sent', async (t) => {
  const ranges = [
    { start: 0, end: 2 },
    { start: 5, end: 10 },
  ]
  const frame = multipartFrame(ranges, { boundary: 'b0undary', contentType: 'text/plain', sizeBytes: 10 })
  const bytes = Buffer.from('0123456789')
  const body = Buffer.concat([
    ...frame.parts.flatMap(({ head, range }) => [head, bytes.subarray(range.start, range.end)]),
    frame.tail,
  ])
  t.equal(body.length, frame.lengthBytes)
  t.equal(
    body.toString(),
    [
      '--b0undary',
      'Content-Type: text/plain',
      'Content-Range: bytes 0-1/10',
      '',
      '01',
      '--b0undary',
      'Content-Type: text/plain',
      'Content-Range: bytes 5-9/10',
      '',
      '56789',
      '--b0undary--',
    ].join('\r\n'),
  )
})

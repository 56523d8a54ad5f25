import t from 'tap'
import { parseRange } from '../../../../src/http/apis/glance/requests/range.js'

t.test('one range of bytes is read in its three forms', async (t) => {
  t.same(parseRange('bytes=2-5', 10), { start: 2, end: 6 })
  t.same(parseRange('bytes=2-', 10), { start: 2, end: 10 })
  t.same(parseRange('bytes=-3', 10), { start: 7, end: 10 })
  t.same(parseRange('bytes=-30', 10), { start: 0, end: 10 })
  t.same(parseRange('bytes=5-1000', 10), { start: 5, end: 10 })
  t.equal(parseRange(undefined, 10), undefined)
})

t.test('anything else is not satisfiable', async (t) => {
  for (const header of ['', 'bytes=', 'bytes=-', 'bytes=5-2', 'bytes=10-', 'bytes=-0', 'bytes=0-1,3-4', 'items=0-1'])
    t.throws(
      () => parseRange(header, 10),
      { name: 'GlanceFault', statusCode: 416, headers: { 'Content-Range': 'bytes */10' } },
      header,
    )
  t.throws(() => parseRange('bytes=0-0', 0), { name: 'GlanceFault', statusCode: 416 })
})

import Fastify from 'fastify'
import t from 'tap'
import { listingPace } from '../../../../src/core/lists/listing.js'
import type { Listed, ObjectSummary } from '../../../../src/core/model/records.js'
import { swiftErrorHandler } from '../../../../src/http/apis/swift/errors.js'
import { listingFormat } from '../../../../src/http/apis/swift/requests/listing_format.js'
import { objectRow, sendListing } from '../../../../src/http/apis/swift/responses/listing.js'
import { shareFairly } from '../../../../src/http/shared/fairness.js'
import { waitForHandlers } from '../../../../src/http/shared/work_in_flight.js'

const rows: Listed<ObjectSummary>[] = [
  {
    kind: 'item',
    item: {
      name: 'a<b>&"ä"',
      sizeBytes: 5,
      md5: '900150983cd24fb0d6963f7d28e17f72',
      contentType: 'text/plain',
      updatedAt: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
      indirection: null,
    },
  },
  { kind: 'subdir', subdir: 'photos/' },
]

/** In slices of one line, with an empty one between. */
async function* slicesOf(lines: Listed<ObjectSummary>[]) {
  for (const line of lines) {
    yield [line]
    yield []
  }
}

async function formatted(accept: string | undefined, format?: string, listed = rows) {
  const app = Fastify()
  waitForHandlers(app)
  shareFairly(app, { answerBytes: 1 << 20, bodyBytes: 1 << 20 })
  app.decorateRequest('caller', null)
  app.setErrorHandler(swiftErrorHandler)
  app.get('/', async (request, reply) =>
    sendListing(request, reply, listingFormat(request, format), {
      of: 'container',
      name: 'c&d',
      slices: slicesOf(listed),
      pace: listingPace(),
      row: objectRow,
    }),
  )
  const answer = await app.inject({ url: '/', headers: accept === undefined ? {} : { accept } })
  return { status: answer.statusCode, type: answer.headers['content-type'], body: answer.body }
}

t.test('without a wish a listing is lines of text', async (t) => {
  t.same(await formatted(undefined), {
    status: 200,
    type: 'text/plain; charset=utf-8',
    body: 'a<b>&"ä"\nphotos/\n',
  })
})

t.test('JSON holds what clients look for', async (t) => {
  const { type, body } = await formatted(undefined, 'json')
  t.equal(type, 'application/json; charset=utf-8')
  t.same(JSON.parse(body), [
    {
      name: 'a<b>&"ä"',
      hash: '900150983cd24fb0d6963f7d28e17f72',
      bytes: 5,
      content_type: 'text/plain',
      last_modified: '2024-01-02T03:04:05.678000',
    },
    { subdir: 'photos/' },
  ])
})

t.test('XML escapes what it must', async (t) => {
  const { type, body } = await formatted(undefined, 'xml')
  t.equal(type, 'application/xml; charset=utf-8')
  t.equal(
    body,
    '<?xml version="1.0" encoding="UTF-8"?>\n<container name="c&amp;d"><object><name>a&lt;b&gt;&amp;&quot;ä&quot;</name>' +
      '<hash>900150983cd24fb0d6963f7d28e17f72</hash><bytes>5</bytes><content_type>text/plain</content_type>' +
      '<last_modified>2024-01-02T03:04:05.678000</last_modified></object>' +
      '<subdir name="photos/"><name>photos/</name></subdir></container>',
  )
})

t.test('an empty listing in text is 204, in JSON an empty list', async (t) => {
  t.match(await formatted(undefined, undefined, []), { status: 204, body: '' })
  t.match(await formatted(undefined, 'json', []), { status: 200, body: '[]' })
})

t.test('Accept decides when the query does not', async (t) => {
  t.match(await formatted('application/json'), { type: /^application\/json/ })
  t.match(await formatted('text/xml'), { type: /^text\/xml/ })
  t.match(await formatted('application/*'), { type: /^application\/json/ })
  t.match(await formatted('text/plain;q=0.1, application/xml;q=0.9'), { type: /^application\/xml/ })
  t.match(await formatted('*/*'), { type: /^text\/plain/ })
  t.match(await formatted('text/xml', 'json'), { type: /^application\/json/ })
  t.match(await formatted('image/png'), { status: 406 })
})

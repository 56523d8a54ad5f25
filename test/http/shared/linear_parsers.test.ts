// Every parser of what clients send takes time in proportion to the length of it. Each is fed texts of 4 KiB and of 32 KiB:
// fills that parsers stumble over, behind the beginnings that it looks for, before ends that make all of it fail. Eight times
// the length may take eight times as long; a parser that goes back takes 64 times as long, or 512 times. The limit lies between,
// and of each length the fastest of several runs counts, so that a busy machine fails nothing.

import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { parseLocation } from '../../../src/core/conversions/image_location.js'
import { maxMinor, parseMicroversion } from '../../../src/http/apis/cinder/microversion.js'
import { cinder } from '../../../src/http/apis/cinder/plugin.js'
import { entityTags } from '../../../src/http/apis/cinder/requests/entity_tags.js'
import { bootableFilter, metadataFilter } from '../../../src/http/apis/cinder/requests/filters.js'
import { parseListParams } from '../../../src/http/apis/cinder/requests/list_params.js'
import { Metadata, SizeGib, Uuid, validate } from '../../../src/http/apis/cinder/requests/validation.js'
import { renderFault } from '../../../src/http/apis/glance/errors.js'
import { glance } from '../../../src/http/apis/glance/plugin.js'
import { splitChoices } from '../../../src/http/apis/glance/requests/choices.js'
import { requireFits, requireWritable } from '../../../src/http/apis/glance/requests/image_body.js'
import { parsePatch } from '../../../src/http/apis/glance/requests/json_patch.js'
import { parseListQuery } from '../../../src/http/apis/glance/requests/list_query.js'
import { parseRange } from '../../../src/http/apis/glance/requests/range.js'
import { keystone } from '../../../src/http/apis/keystone/plugin.js'
import { parseLogin } from '../../../src/http/apis/keystone/requests/login_request.js'
import { headerBytes, headerText } from '../../../src/http/apis/swift/header_text.js'
import { swift } from '../../../src/http/apis/swift/plugin.js'
import {
  checkReadConditions,
  normalizeEtag,
  rangeStillApplies,
} from '../../../src/http/apis/swift/requests/conditional.js'
import { guessContentType } from '../../../src/http/apis/swift/requests/content_type.js'
import { credentialsIn } from '../../../src/http/apis/swift/requests/credentials.js'
import { listingFormat } from '../../../src/http/apis/swift/requests/listing_format.js'
import { metadataChange } from '../../../src/http/apis/swift/requests/metadata.js'
import { decodeText, parseObjectReference, parsePath } from '../../../src/http/apis/swift/requests/path.js'
import { parseRanges } from '../../../src/http/apis/swift/requests/ranges.js'
import { encodePath } from '../../../src/http/apis/swift/urls.js'
import { isObjectStorage, routedUrl } from '../../../src/http/apis/swift/urls.js'
import { baseUrl } from '../../../src/http/shared/base_url.js'
import { parseJson } from '../../../src/http/shared/body.js'
import { ErrorForms } from '../../../src/http/shared/error_forms.js'
import { nestsTooDeep } from '../../../src/http/shared/json_depth.js'
import { pathOfParserError } from '../../../src/http/shared/parser_errors.js'
import { flagOf, parseQuery } from '../../../src/http/shared/query.js'
import { parseHostPort, parseListenAddress, withoutTrailingSlashes } from '../../../src/lib/addresses.js'
import { isUuid } from '../../../src/lib/ids.js'
import { parseSize } from '../../../src/lib/units.js'

t.setTimeout(280_000)

const current = { etag: 'd41d8cd98f00b204e9800998ecf8427e', modifiedSeconds: 1 }
const withHeaders = (headers: Record<string, string>) =>
  ({ headers, raw: { headers, socket: {} } }) as unknown as FastifyRequest
const forms = new ErrorForms([swift, glance, cinder, keystone])
const keys = { name: 'name' }

interface Parser {
  parse(text: string): unknown
  /** What it looks for first; none and one of these stand before the fill. */
  after?: string[]
}

const parsers: Record<string, Parser> = {
  'a query string': { parse: parseQuery, after: ['a=', 'a=%'] },
  'a flag': { parse: flagOf, after: ['tru'] },
  'a JSON text': { parse: (text) => parseJson(Buffer.from(text)), after: ['"', '{"a":', '[1'] },
  'the depth of a JSON text': { parse: nestsTooDeep, after: ['"', '['] },
  'a request target': { parse: routedUrl, after: ['/v1', '/v1/', '/v1.0/a?'] },
  'the API of a request target': { parse: isObjectStorage, after: ['/v1', '/'] },
  'the bytes of a request that is no HTTP': {
    parse: (text) => pathOfParserError({ rawPacket: Buffer.from(text), bytesParsed: text.length }),
    after: ['GET /', 'GET / HTTP/1.1\r\n'],
  },
  'an error for a request target': {
    parse: (url) => forms.render({ status: 404, message: url }, url),
    after: ['/image'],
  },
  'a Host header': { parse: (host) => baseUrl(withHeaders({ host }), {}), after: ['a', '[::'] },
  'forwarded headers': {
    parse: (text) =>
      baseUrl(withHeaders({ 'x-forwarded-host': text, 'x-forwarded-proto': text }), { trustProxy: () => true }),
  },
  'a path of object storage': { parse: parsePath, after: ['/v1/', '/v1/a/c/'] },
  'percent-encoded text': { parse: decodeText, after: ['%'] },
  'a name to be encoded': { parse: encodePath },
  'the source of a copy': { parse: (text) => parseObjectReference(text, 'X-Copy-From'), after: ['/a/'] },
  'Range of an object': { parse: (text) => parseRanges(text, 1000), after: ['bytes=', 'bytes=0-', 'bytes=0-0,'] },
  'Range of an image': { parse: (text) => parseRange(text, 1000), after: ['bytes=', 'bytes=0-'] },
  'If-Match': { parse: (text) => checkReadConditions({ 'if-match': text }, current, () => ({})), after: ['"', 'W/"'] },
  'If-None-Match': {
    parse: (text) => checkReadConditions({ 'if-none-match': text }, current, () => ({})),
    after: ['"'],
  },
  'If-Modified-Since': {
    parse: (text) => checkReadConditions({ 'if-modified-since': text }, current, () => ({})),
    after: ['Tue, ', 'Tue, 02 Jan 2024 03:04:05 GMT'],
  },
  'If-Unmodified-Since': {
    parse: (text) => checkReadConditions({ 'if-unmodified-since': text }, current, () => ({})),
    after: ['Tue, ', 'Tue, 02 Jan 2024 03:04:05 +0000'],
  },
  'If-Range': { parse: (text) => rangeStillApplies(text, current), after: ['Tue, ', '"'] },
  'an ETag': { parse: normalizeEtag, after: ['W/', '"'] },
  'the extension of a name': { parse: guessContentType, after: ['a.', '.'] },
  'Accept of a listing': {
    parse: (accept) => listingFormat(withHeaders({ accept }), undefined),
    after: ['text/', 'a/b;q='],
  },
  'the format of a listing': { parse: (text) => listingFormat(withHeaders({}), text) },
  'Accept of an error': { parse: (accept) => renderFault(404, '', accept), after: ['text/html;', 'a/b;q='] },
  'text in an error': { parse: (text) => renderFault(404, text, undefined) },
  'X-Auth-User': { parse: credentialsIn, after: ['a:', 'a'] },
  'text in a header': { parse: headerText },
  'text for a header': { parse: headerBytes },
  'the name of metadata': { parse: (text) => metadataChange({ [`x-object-meta-${text}`]: 'v' }, 'object') },
  'the value of metadata': { parse: (text) => metadataChange({ 'x-object-meta-a': text }, 'object') },
  'choices of a filter': { parse: splitChoices, after: ['"', 'a,', '"a"'] },
  'a filter of images by name': { parse: (name) => parseListQuery({ name }), after: ['in:', 'in:"'] },
  'a filter of images by time': {
    parse: (text) => parseListQuery({ created_at: text }),
    after: ['gt:', '2024-', 'gt:2024-01-01T00:00:00'],
  },
  'an order of images': { parse: (sort) => parseListQuery({ sort }), after: ['name:', 'name:asc,'] },
  'a number in a filter of images': { parse: (limit) => parseListQuery({ limit }), after: ['1'] },
  'a patch of an image': {
    parse: (path) => parsePatch([{ op: 'add', path, value: 'x' }], 10),
    after: ['/', '/~', '/a~'],
  },
  'an image id': { parse: (text) => requireFits('id', text), after: ['00000000-'] },
  'the name of a property': { parse: requireWritable, after: ['os_glance_'] },
  'a location': { parse: parseLocation, after: ['swift://AUTH_', 'swift://AUTH_a/b/', 'cinder://volumes/'] },
  'a filter by metadata': { parse: metadataFilter, after: ['{', "{'", "{'k': '", "{'k': 'v', "] },
  'a flag in a filter': { parse: (text) => bootableFilter(text, true), after: ['fals'] },
  'an order of volumes': { parse: (sort) => parseListParams({ sort }, keys, maxMinor), after: ['name:', 'name,'] },
  'a number in a list of volumes': { parse: (limit) => parseListParams({ limit }, keys, maxMinor), after: ['-', '1'] },
  'a microversion': { parse: parseMicroversion, after: ['volume ', 'volume 3.', 'compute 2.1,'] },
  'If-Match of metadata': { parse: entityTags, after: ['"', 'W/"'] },
  'a UUID in a body': { parse: (text) => validate(Uuid, text), after: ['00000000'] },
  'a size in a body': { parse: (text) => validate(SizeGib, text), after: ['0', '1'] },
  'a name of metadata in a body': { parse: (text) => validate(Metadata, { [text]: 'v' }), after: ['a'] },
  'a login': {
    parse: (password) =>
      parseLogin({ auth: { identity: { methods: ['password'], password: { user: { id: 'x', password } } } } }),
  },
  'an id': { parse: isUuid, after: ['00000000-'] },
  'a size': { parse: parseSize, after: ['1', '1.', '1 '] },
  'an address': { parse: parseHostPort, after: ['[', 'a:'] },
  'an address to listen on': { parse: parseListenAddress, after: ['a:1?tls=', 'unix:'] },
  'a URL with slashes behind it': { parse: withoutTrailingSlashes, after: ['http://a/'] },
}

const fills = [
  ...' \t\n",\'+%\\/.-=:;~<>{}[]()&?*_#@!|^$0aAeTZ\0\x7f\xe9',
  ...[
    '" ',
    '", ',
    ', ',
    '\\"',
    "\\'",
    'a,',
    '0-',
    '-0',
    '0,',
    '-,',
    '%2',
    '%20',
    '%25',
    '%c3',
    '~0',
    '~1',
    "': ",
    '":',
    "'a': 'b', ",
  ],
  ...[
    'a=b&',
    '&=',
    'W/"',
    '"a",',
    'a/',
    '//',
    '/../',
    'a:b',
    ': ',
    'a;q=1,',
    ';q=',
    '*/*,',
    'GMT ',
    '+0000 ',
    '(',
    'Jan ',
    '1 ',
    'in:',
  ],
  ...['[{', '"a"', '\\u0000', '\\', 'tls=', '?tls=', ' HTTP/1.1\r\n', '=\r\n', 'true', "u'", '}  ', '{ '],
]
const ends = ['', 'x', '"']

const small = 4 << 10
const large = 32 << 10
// 8 for what is linear, 64 for what is quadratic.
const ratioMax = 24
// What goes back takes hundreds of milliseconds for the longer text; this much is no matter of its length, and not worth a second look.
const certainlyLinearMs = 10
const certainlySuperlinearMs = 1000

const textOf = (start: string, fill: string, end: string, length: number): string =>
  start + fill.repeat(Math.ceil(length / fill.length)).slice(0, length - start.length - end.length) + end

/** Of the processor's time, which others do not take from it. */
function fastestMs(parse: (text: string) => unknown, text: string, runs: number): number {
  let fastest = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs; run++) {
    const before = process.cpuUsage()
    try {
      parse(text)
    } catch {
      // A refusal is as good as an answer.
    }
    const { user, system } = process.cpuUsage(before)
    fastest = Math.min(fastest, (user + system) / 1000)
  }
  return fastest
}

/** The first text that takes too long, and how many times as long as the shorter one; undefined: there is none. */
function superlinear({ parse, after = [] }: Parser): { text: string; ratio: number } | undefined {
  for (const start of ['', ...after])
    for (const fill of fills)
      for (const end of ends) {
        const [shorter, longer] = [small, large].map((length) => textOf(start, fill, end, length)) as [string, string]
        // A cubic parser would not come back from the longer text.
        if (fastestMs(parse, shorter, 1) > certainlySuperlinearMs)
          return { text: textOf(start, fill, end, 40), ratio: Number.NaN }
        if (fastestMs(parse, longer, 1) < certainlyLinearMs) continue
        const measure = () => fastestMs(parse, longer, 5) / Math.max(fastestMs(parse, shorter, 5), 0.001)
        // Other processes can disturb one measurement; a superlinear parser exceeds the ratio every time.
        let ratio = measure()
        for (let again = 0; ratio > ratioMax && again < 3; again += 1) ratio = Math.min(ratio, measure())
        if (ratio > ratioMax) return { text: textOf(start, fill, end, 40), ratio }
      }
  return undefined
}

for (const [name, parser] of Object.entries(parsers))
  t.test(`time to parse grows no faster than the text: ${name}`, async (t) => {
    t.equal(superlinear(parser), undefined)
  })

t.test('a parser that goes back is noticed', async (t) => {
  t.ok(superlinear({ parse: (text) => /^\s*(\d*)\s*-/.test(text) }), 'quadratic')
  t.equal(superlinear({ parse: (text) => /^[^,]*,/.test(text) }), undefined, 'linear')
})

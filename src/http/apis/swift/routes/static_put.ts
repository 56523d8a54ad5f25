/** PUT of the manifest of a static large object (`?multipart-manifest=put`), whose segments are validated against what is stored. */

import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { StoredObject } from '../../../../core/model/records.js'
import type { Content } from '../../../../core/objects/contents.js'
import { isData, type ManifestSegment, type ObjectSegment } from '../../../../core/objects/static_manifest.js'
import { segmentBytes } from '../../../../core/objects/static_manifest.js'
import { asError } from '../../../../lib/errors.js'
import { contentLength, readBody } from '../../../shared/body.js'
import { BodyTooLarge, describeError } from '../../../shared/errors.js'
import { ownerOf } from '../../../shared/fairness.js'
import { isTrue, queryParameter } from '../../../shared/query.js'
import { SwiftError, statusText } from '../errors.js'
import { limits } from '../limits.js'
import type { ListingFormat } from '../media_types.js'
import { normalizeEtag } from '../requests/conditional.js'
import { callersOf } from '../requests/callers.js'
import { outcomeFormat } from '../requests/listing_format.js'
import { type PutOptions, putOptions } from '../requests/put_options.js'
import { parseRanges } from '../requests/ranges.js'
import { isWantedData, parseWantedManifest, type WantedPart, type WantedSegment } from '../requests/static_manifest.js'
import type { ObjectTarget } from '../requests/target.js'
import { withHeartbeat } from '../responses/heartbeat.js'
import { quotedName } from '../urls.js'
import { outcomeBody, statusLine } from '../responses/outcome.js'
import { lastModifiedHeader, listingTime } from '../responses/timestamps.js'

export async function putStaticManifest(
  core: Core,
  target: ObjectTarget,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (request.headers['x-copy-from'] !== undefined) {
    throw new SwiftError(405, 'Multipart Manifest PUTs cannot be COPY requests')
  }
  const options = putOptions(request, target.object)
  const parts = parseWantedManifest(await manifestBody(request), target)
  const format = outcomeFormat(request)
  const put = () => storeStaticManifest(core, target, request, { parts, options, format })
  if (isTrue(queryParameter(request, 'heartbeat'))) {
    const outcome = put().then(
      (stored) => successBody(format, stored),
      (error: unknown) => failureBody(format, error, request),
    )
    return reply.code(202).type(format).send(withHeartbeat(outcome, ' '))
  }
  const { object, etag } = await put()
  return reply
    .code(201)
    .headers({ etag: `"${etag}"`, 'last-modified': lastModifiedHeader(object.updatedAt) })
    .type('text/html; charset=UTF-8')
    .send('')
}

export interface StoredManifest {
  object: StoredObject
  etag: string
}

/** Some segments are not as the manifest says. */
class SegmentProblems extends SwiftError {
  constructor(
    format: ListingFormat,
    readonly problems: readonly (readonly [string, string])[],
  ) {
    super(400, outcomeBody(format, 'upload', { fields: {}, errors: problems }), { 'content-type': format })
  }
}

/** Throws SegmentProblems, and 422 if the request's ETag is not that of the segments. */
export async function storeStaticManifest(
  core: Core,
  target: ObjectTarget,
  request: FastifyRequest,
  { parts, options, format }: { parts: readonly WantedPart[]; options: PutOptions; format: ListingFormat },
): Promise<StoredManifest> {
  const found = await lookUp(core, target, parts, request)
  const problems: [string, string][] = []
  const segments: ManifestSegment[] = []
  for (const [index, part] of parts.entries()) {
    if (isWantedData(part)) segments.push({ data: part.data.toString('base64') })
    else {
      const { segment, problem } = validated(part, found.get(part.path), { isLast: index === parts.length - 1 })
      for (const text of problem) problems.push([quotedName(part.path), text])
      if (segment !== undefined) segments.push(segment)
    }
  }
  if (problems.length > 0) throw new SegmentProblems(format, problems)
  const etag = etagOf(segments)
  const expected = normalizeEtag(String(request.headers.etag ?? ''))
  if (expected !== '' && expected !== etag) throw new SwiftError(422)
  const sizeBytes = segments.reduce((sum, segment) => sum + segmentBytes(segment), 0)
  if (sizeBytes > limits.objectBytes) throw new SwiftError(413, 'Your request is too large.')
  const bytes = Buffer.from(JSON.stringify(segments))
  const object = await core.objects.put(target.caller, target, {
    ...options,
    body: oneByOne(bytes),
    indirection: { kind: 'static', etag, sizeBytes },
  })
  return { object, etag }
}

async function* oneByOne(bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield bytes
}

/** Throws 411 and 413. */
async function manifestBody(request: FastifyRequest): Promise<Buffer> {
  if (contentLength(request) === undefined && request.headers['transfer-encoding'] === undefined) {
    throw new SwiftError(411, 'Missing Content-Length header.')
  }
  try {
    return await readBody(request, limits.manifestBytes)
  } catch (error) {
    if (error instanceof BodyTooLarge) throw new SwiftError(413, `Manifest File > ${limits.manifestBytes} bytes`)
    throw error
  }
}

/** What a path of the manifest names: its content, or the status with which it was refused. */
type Found = Content | { status: number }

/** Segments looked up in one turn of the event loop. */
const lookUpsPerTurn = 16

async function lookUp(
  core: Core,
  target: ObjectTarget,
  parts: readonly WantedPart[],
  request: FastifyRequest,
): Promise<ReadonlyMap<string, Found>> {
  const found = new Map<string, Found>()
  const work = request.server.fairness.turns.begin(ownerOf(request))
  const callerOf = callersOf(core, request, target)
  for (const part of parts) {
    if (isWantedData(part) || found.has(part.path)) continue
    if (found.size % lookUpsPerTurn === 0) await work.turn()
    const ref = { projectId: target.projectId, container: part.container, object: part.object }
    try {
      found.set(part.path, await core.contents.head(await callerOf(ref, 'read'), ref, { callerOf }))
    } catch (error) {
      const status = error instanceof SwiftError ? error.status : describeError(error, request).status
      if (status >= 500) throw error
      found.set(part.path, { status })
    }
  }
  return found
}

function validated(
  wanted: WantedSegment,
  found: Found | undefined,
  { isLast }: { isLast: boolean },
): { segment?: ObjectSegment; problem: string[] } {
  if (found === undefined || 'status' in found) return { problem: [statusLine(found?.status ?? 404)] }
  const { object, sizeBytes, etag, large } = found
  const problem: string[] = []
  const range = rangeIn(wanted.range, sizeBytes)
  if (range === undefined) problem.push('Unsatisfiable Range')
  const { start, end } = range ?? { start: 0, end: sizeBytes }
  if (end - start < 1 && !isLast) problem.push('Too small; each segment must be at least 1 byte.')
  if (wanted.sizeBytes !== undefined && wanted.sizeBytes !== sizeBytes) problem.push('Size Mismatch')
  if (wanted.etag !== undefined && wanted.etag !== etag) problem.push('Etag Mismatch')
  // Without it a segment that was replaced could not be told from this one.
  if (etag === null) problem.push('The MD5 of the object is not known')
  if (problem.length > 0 || etag === null) return { problem }
  const segment: ObjectSegment = {
    name: `/${wanted.path.replace(/^\/+/, '')}`,
    bytes: sizeBytes,
    hash: etag,
    content_type: object.contentType.split(';', 1)[0]?.trim() ?? '',
    last_modified: listingTime(object.updatedAt),
    ...(end - start === sizeBytes ? {} : { range: `${start}-${end - 1}` }),
    ...(large === 'static' ? { sub_slo: true as const } : {}),
  }
  return { segment, problem }
}

/** undefined: no byte of the object is in it. */
function rangeIn(range: string | undefined, sizeBytes: number): { start: number; end: number } | undefined {
  return range === undefined ? { start: 0, end: sizeBytes } : parseRanges(`bytes=${range}`, sizeBytes)?.[0]
}

/** The MD5 of the digests of all segments; ranges count with them. */
function etagOf(segments: readonly ManifestSegment[]): string {
  const digest = createHash('md5')
  for (const segment of segments) {
    if (isData(segment)) digest.update(createHash('md5').update(Buffer.from(segment.data, 'base64')).digest('hex'))
    else digest.update(segment.range === undefined ? segment.hash : `${segment.hash}:${segment.range};`)
  }
  return digest.digest('hex')
}

function successBody(format: ListingFormat, { object, etag }: StoredManifest): string {
  const fields = {
    'Response Status': statusLine(201),
    'Response Body': '',
    Etag: `"${etag}"`,
    'Last Modified': lastModifiedHeader(object.updatedAt),
  }
  return outcomeBody(format, 'upload', { fields, errors: [] })
}

function failureBody(format: ListingFormat, thrown: unknown, request: FastifyRequest): string {
  const problems = thrown instanceof SegmentProblems ? thrown.problems : []
  const status = thrown instanceof SwiftError ? thrown.status : describeError(asError(thrown), request).status
  const text = thrown instanceof SwiftError && !(thrown instanceof SegmentProblems) ? thrown.text : undefined
  const fields = { 'Response Status': statusLine(status), 'Response Body': text ?? statusText(status) }
  return outcomeBody(format, 'upload', { fields, errors: problems })
}

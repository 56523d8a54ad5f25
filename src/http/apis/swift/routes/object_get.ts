/** GET and HEAD of an object: whole, one range, several ranges, or not at all when a condition says so. */

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ObjectNotFound } from '../../../../core/model/errors.js'
import type { Core } from '../../../../core/core.js'
import type { Content, OpenContent } from '../../../../core/objects/contents.js'
import { type ByteRange, openBytes } from '../../../../core/tree/open_data.js'
import { bytesFor, endedWithRights } from '../../../shared/direct_body.js'
import { sendOpened } from '../../../shared/opened.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { checkReadConditions, rangeStillApplies, requiresObject } from '../requests/conditional.js'
import { parseRanges } from '../requests/ranges.js'
import { Reading } from '../requests/reading.js'
import type { ObjectTarget } from '../requests/target.js'
import { contentRange, type MultipartBody, multipartFrame } from '../responses/multipart.js'
import { newBoundary, validatorHeaders, objectHeaders, validatorOf } from '../responses/object_headers.js'
import { rawManifest } from '../responses/raw_manifest.js'

export async function headObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const reading = new Reading(core, request, target)
  return reading.located(async () => {
    let content = await orMissing(request, core.contents.head(target.caller, target, reading.as))
    if (wantsRaw(request, content)) content = (await rawContent(core, content)).content
    checkReadConditions(request.headers, validatorOf(content), () => validatorHeaders(content))
    const headers = { ...objectHeaders(content), ...reading.headers(content) }
    return reply.headers(headers).header('content-length', content.sizeBytes).send()
  })
}

export async function getObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const reading = new Reading(core, request, target)
  return reading.located(async () => {
    const open = await openFor(core, target, request, reading)
    const { prepare } = open
    // What is put together from segments is opened before the head is sent: then a segment that is missing can still be told.
    if (prepare !== undefined) await closedOnError(open, async () => prepare(rangesToRead(open, request)))
    return sendOpened(open, reply, () => answer(open, request, reply, reading))
  })
}

async function openFor(
  core: Core,
  target: ObjectTarget,
  request: FastifyRequest,
  reading: Reading,
): Promise<OpenContent> {
  const open = await orMissing(request, core.contents.open(target.caller, target, reading.as))
  if (!wantsRaw(request, open)) return open
  open.close()
  const { content, bytes } = await rawContent(core, open)
  return { ...content, ...openBytes(bytes) }
}

/** `?multipart-manifest=get&format=raw`: the manifest in the form in which it could be put again. */
function wantsRaw(request: FastifyRequest, { object, large }: Content): boolean {
  return large === undefined && object.indirection?.kind === 'static' && queryParameter(request, 'format') === 'raw'
}

async function rawContent(core: Core, content: Content): Promise<{ content: Content; bytes: Buffer }> {
  const bytes = rawManifest(await core.contents.manifest(content.object))
  const etag = createHash('md5').update(bytes).digest('hex')
  const { object, ref } = content
  return { content: { object, ref, sizeBytes: bytes.length, etag }, bytes }
}

export async function closedOnError(open: OpenContent, work: () => Promise<void> | undefined): Promise<void> {
  try {
    await work()
  } catch (error) {
    open.close()
    throw error
  }
}

/** Throws 304, 412 and 416. */
function rangesToRead(open: OpenContent, request: FastifyRequest): ByteRange[] {
  checkReadConditions(request.headers, validatorOf(open), () => validatorHeaders(open))
  return wantedRanges(open, request) ?? [{ start: 0, end: open.sizeBytes }]
}

/** Throws 412 instead of 404 where the client asked that the object exists. */
async function orMissing<T>(request: FastifyRequest, found: Promise<T>): Promise<T> {
  try {
    return await found
  } catch (error) {
    throw error instanceof ObjectNotFound && requiresObject(request.headers) ? new SwiftError(412) : error
  }
}

/** What is to be sent, its headers set. */
function answer(open: OpenContent, request: FastifyRequest, reply: FastifyReply, reading: Reading): Readable | Buffer {
  checkReadConditions(request.headers, validatorOf(open), () => validatorHeaders(open))
  void reply.headers(objectHeaders(open)).headers(reading.headers(open))
  const ranges = wantedRanges(open, request)
  if (ranges === undefined) {
    void reply.header('content-length', open.sizeBytes)
    return bytesOf(request, open, { start: 0, end: open.sizeBytes })
  }
  const [range] = ranges as [ByteRange]
  void reply.code(206)
  if (ranges.length === 1) {
    void reply.headers({
      'content-range': contentRange(range, open.sizeBytes),
      'content-length': range.end - range.start,
    })
    return bytesOf(request, open, range)
  }
  const frame = multipartFrame(ranges, {
    boundary: newBoundary(request.id),
    contentType: String(reply.getHeader('content-type')),
    sizeBytes: open.sizeBytes,
  })
  void reply.headers({ 'content-type': frame.contentType, 'content-length': frame.lengthBytes })
  return endedWithRights(request, Readable.from(multipartBytes(open, frame), { objectMode: false }))
}

/** undefined: all of it. Throws 416. */
export function wantedRanges(content: Content, request: FastifyRequest): ByteRange[] | undefined {
  const { range, 'if-range': ifRange } = request.headers
  if (!rangeStillApplies(typeof ifRange === 'string' ? ifRange : undefined, validatorOf(content))) return undefined
  const ranges = parseRanges(range, content.sizeBytes)
  if (ranges?.length === 0) {
    throw new SwiftError(416, undefined, {
      ...validatorHeaders(content),
      'content-range': `bytes */${content.sizeBytes}`,
    })
  }
  // As in Swift: of a dynamic large object one range is served, and several are ignored.
  return content.large === 'dynamic' && ranges !== undefined && ranges.length > 1 ? undefined : ranges
}

const mediaType = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:$|;)/

/**
 * What is at hand needs no stream, which costs more than sending it. But Fastify would give a buffer another type where it does
 * not understand the one that the object was put with.
 */
function bytesOf(request: FastifyRequest, open: OpenContent, range: ByteRange): Readable | Buffer {
  const { whole, object } = open
  if (whole === undefined || !mediaType.test(object.contentType)) return bytesFor(request, open, range)
  return whole.subarray(range.start, range.end)
}

async function* multipartBytes(open: OpenContent, frame: MultipartBody): AsyncGenerator<Buffer> {
  for (const { head, range } of frame.parts) {
    yield head
    yield* open.read(range)
  }
  yield frame.tail
}

/** GET and HEAD of an object: whole, one range, several ranges, or not at all when a condition says so. */

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { ObjectNotFound } from '../../../../core/model/errors.js'
import type { StoredObject } from '../../../../core/model/records.js'
import type { OpenObject } from '../../../../core/objects/objects.js'
import type { ByteRange } from '../../../../core/tree/open_data.js'
import { bytesFor, endedWithRights } from '../../../shared/direct_body.js'
import { sendOpened } from '../../../shared/opened.js'
import { SwiftError } from '../errors.js'
import { checkReadConditions, rangeStillApplies, requiresObject } from '../requests/conditional.js'
import { parseRanges } from '../requests/ranges.js'
import type { ObjectTarget } from '../requests/target.js'
import { contentRange, type MultipartBody, multipartFrame } from '../responses/multipart.js'
import { newBoundary, validatorHeaders, objectHeaders, validatorOf } from '../responses/object_headers.js'

export async function headObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const object = await orMissing(request, core.objects.head(target.caller, target))
  checkReadConditions(request.headers, validatorOf(object), validatorHeaders(object))
  return reply.headers(objectHeaders(object)).header('content-length', object.sizeBytes).send()
}

export async function getObject(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const open = await orMissing(request, core.objects.open(target.caller, target))
  return sendOpened(open, reply, () => answer(open, request, reply))
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
function answer(open: OpenObject, request: FastifyRequest, reply: FastifyReply): Readable | Buffer {
  const { object } = open
  checkReadConditions(request.headers, validatorOf(object), validatorHeaders(object))
  void reply.headers(objectHeaders(object))
  const ranges = wantedRanges(object, request)
  if (ranges === undefined) {
    void reply.header('content-length', object.sizeBytes)
    return bytesOf(request, open, { start: 0, end: object.sizeBytes })
  }
  const [range] = ranges
  if (range === undefined) {
    throw new SwiftError(416, undefined, {
      ...validatorHeaders(object),
      'content-range': `bytes */${object.sizeBytes}`,
    })
  }
  void reply.code(206)
  if (ranges.length === 1) {
    void reply.headers({
      'content-range': contentRange(range, object.sizeBytes),
      'content-length': range.end - range.start,
    })
    return bytesOf(request, open, range)
  }
  const frame = multipartFrame(ranges, {
    boundary: newBoundary(request.id),
    contentType: String(reply.getHeader('content-type')),
    sizeBytes: object.sizeBytes,
  })
  void reply.headers({ 'content-type': frame.contentType, 'content-length': frame.lengthBytes })
  return endedWithRights(request, Readable.from(multipartBytes(open, frame), { objectMode: false }))
}

function wantedRanges(object: StoredObject, request: FastifyRequest): ByteRange[] | undefined {
  const { range, 'if-range': ifRange } = request.headers
  if (!rangeStillApplies(typeof ifRange === 'string' ? ifRange : undefined, validatorOf(object))) return undefined
  return parseRanges(range, object.sizeBytes)
}

const mediaType = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+(?:$|;)/

/**
 * What is at hand needs no stream, which costs more than sending it. But Fastify would give a buffer another type where it does
 * not understand the one that the object was put with.
 */
function bytesOf(request: FastifyRequest, open: OpenObject, range: ByteRange): Readable | Buffer {
  const { whole, object } = open
  if (whole === undefined || !mediaType.test(object.contentType)) return bytesFor(request, open, range)
  return whole.subarray(range.start, range.end)
}

async function* multipartBytes(open: OpenObject, frame: MultipartBody): AsyncGenerator<Buffer> {
  for (const { head, range } of frame.parts) {
    yield head
    yield* open.read(range)
  }
  yield frame.tail
}

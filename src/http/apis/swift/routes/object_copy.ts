/**
 * COPY, and PUT with X-Copy-From: the same thing seen from either end. A copy of a whole object moves no data. A range of one, and
 * what is put together from segments, are read and stored as a new object.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { Need } from '../../../../core/objects/access.js'
import { KeepsChanging } from '../../../../core/model/errors.js'
import type { StoredObject } from '../../../../core/model/records.js'
import type { Content, OpenContent } from '../../../../core/objects/contents.js'
import type { CopyOptions } from '../../../../core/objects/objects.js'
import type { ByteRange } from '../../../../core/tree/open_data.js'
import { contentLength, hasBody } from '../../../shared/body.js'
import { isTrue } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { checkContainerName, checkObjectName, limits } from '../limits.js'
import { checkPutConditionSyntax, checkReadConditions } from '../requests/conditional.js'
import { dynamicManifestOf } from '../requests/dynamic_manifest.js'
import { expiryOf } from '../requests/expiry.js'
import { outcomeFormat } from '../requests/listing_format.js'
import { checkMetadataSize, metadataChange } from '../requests/metadata.js'
import { givenContentType, keptHeaders } from '../requests/object_headers.js'
import { decodeText, parseObjectReference } from '../requests/path.js'
import { Reading } from '../requests/reading.js'
import { parseWantedManifest } from '../requests/static_manifest.js'
import { callerAt, type ObjectTarget, projectIdOf } from '../requests/target.js'
import { metadataHeaders } from '../responses/metadata.js'
import { copiedFromHeaders, expiryHeaders, validatorHeaders, validatorOf } from '../responses/object_headers.js'
import { rawManifest } from '../responses/raw_manifest.js'
import { lastModifiedHeader } from '../responses/timestamps.js'
import { wantedRanges } from './object_get.js'
import { storeStaticManifest } from './static_put.js'

interface Ends {
  source: ObjectTarget
  target: ObjectTarget
}

/** COPY: the URL is the source, Destination says where to. */
export async function copyObject(core: Core, source: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const destination = oneHeader(request, 'destination')
  if (destination === undefined) throw new SwiftError(412, 'Destination header required')
  const target = await otherTarget(core, source, request, 'write', {
    account: 'destination-account',
    path: parseObjectReference(destination, 'Destination'),
  })
  return copy(core, { source, target }, request, reply)
}

/** PUT: the URL is the target, X-Copy-From says where from. */
export async function copyInto(core: Core, target: ObjectTarget, request: FastifyRequest, reply: FastifyReply) {
  const source = await otherTarget(core, target, request, 'read', {
    account: 'x-copy-from-account',
    path: parseObjectReference(oneHeader(request, 'x-copy-from') ?? '', 'X-Copy-From'),
  })
  return copy(core, { source, target }, request, reply)
}

async function copy(core: Core, ends: Ends, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { source, target } = ends
  if (hasBody(request) || (contentLength(request) ?? 0) > 0) {
    throw new SwiftError(400, 'Copy requests require a zero byte body')
  }
  if (request.headers['x-symlink-target'] !== undefined) {
    throw new SwiftError(400, 'Symlink requests require a zero byte body')
  }
  checkContainerName(target.container)
  checkObjectName(target.object)
  checkPutConditionSyntax(request.headers)
  const reading = new Reading(core, request, source)
  return reading.located(async () => {
    const content = await core.contents.head(source.caller, source, reading.as)
    const { copied, stored, etag } = await copyContent(core, ends, { content, reading, request, reply })
    return reply
      .code(201)
      .headers({
        ...(etag === null ? {} : { etag }),
        'last-modified': lastModifiedHeader(stored.updatedAt),
        ...copiedFromHeaders(source, copied),
        ...expiryHeaders(stored),
        ...metadataHeaders(stored.metadata, 'object'),
      })
      .type('text/html; charset=UTF-8')
      .send('')
  })
}

interface Copying {
  content: Content
  reading: Reading
  request: FastifyRequest
  reply: FastifyReply
}

interface Copied {
  copied: StoredObject
  stored: StoredObject
  etag: string | null
}

async function copyContent(core: Core, ends: Ends, copying: Copying): Promise<Copied> {
  const { content, request, reading } = copying
  checkSource(content, request)
  const isManifest = content.object.indirection?.kind === 'static' && content.large === undefined
  if (isManifest && reading.as.manifest) return copyManifest(core, ends, copying)
  const ranges = wantedRanges(content, request)
  if (ranges !== undefined && ranges.length > 1) {
    throw new SwiftError(400, 'A copy takes one range of its source, not several')
  }
  if (content.large !== undefined || ranges !== undefined) return copyBytes(core, ends, copying)
  const { source, copy: stored } = await core.objects.copy(
    ends.target.caller,
    { from: content.ref, to: ends.target },
    {
      reader: await reading.as.callerOf?.(content.ref, 'read'),
      ...copyOptions(request),
      onlyIfNew: request.headers['if-none-match'] !== undefined,
      indirection: dynamicManifestOf(request),
      checkSource: (current) => {
        if (current.indirection?.kind !== content.object.indirection?.kind) throw new KeepsChanging('the source')
        checkSource({ ...content, object: current, etag: current.md5 }, request)
      },
    },
  )
  return { copied: source, stored, etag: stored.md5 }
}

/** Throws 304 and 412. If-None-Match is about the target. */
function checkSource(content: Content, { headers }: FastifyRequest): void {
  const { 'if-none-match': _, ...conditions } = headers
  checkReadConditions(conditions, validatorOf(content), () => validatorHeaders(content))
}

function copyOptions(request: FastifyRequest): CopyOptions {
  return {
    metadata: metadataChange(request.headers, 'object').set,
    headers: keptHeaders(request),
    contentType: givenContentType(request),
    expiresAt: expiryOf(request),
    fresh: isTrue(oneHeader(request, 'x-fresh-metadata')),
    checkMetadata: checkMetadataSize,
  }
}

/** What the copy has beside its bytes, if they are stored again. */
function putOptionsOf(object: StoredObject, request: FastifyRequest) {
  const { metadata, headers, contentType, expiresAt, fresh } = copyOptions(request)
  const merged = { ...(fresh ? {} : object.metadata), ...metadata }
  checkMetadataSize(merged)
  return {
    metadata: merged,
    headers: { ...(fresh ? {} : object.headers), ...headers },
    contentType: contentType ?? object.contentType,
    expiresAt: expiresAt ?? (fresh ? undefined : (object.expiresAt ?? undefined)),
    onlyIfNew: request.headers['if-none-match'] !== undefined,
  }
}

/** `?multipart-manifest=get`: another manifest of the same segments, which are validated in the account of the target. */
async function copyManifest(core: Core, { target }: Ends, { content, request }: Copying): Promise<Copied> {
  const { object } = content
  const parts = parseWantedManifest(rawManifest(await core.contents.manifest(object)), target)
  const options = putOptionsOf(object, request)
  const stored = await storeStaticManifest(core, target, request, { parts, options, format: outcomeFormat(request) })
  return { copied: object, stored: stored.object, etag: `"${stored.etag}"` }
}

async function copyBytes(core: Core, { source, target }: Ends, copying: Copying): Promise<Copied> {
  const { request, reply, reading } = copying
  const open = await core.contents.open(source.caller, source, reading.as)
  try {
    checkSource(open, request)
    const [range = { start: 0, end: open.sizeBytes }] = wantedRanges(open, request) ?? []
    await open.prepare?.([range])
    const stored = await request.server.uploads.work(request, reply, (signal) =>
      core.objects.put(target.caller, target, {
        ...putOptionsOf(open.object, request),
        body: bytesIn(open, range),
        lengthBytes: range.end - range.start,
        maxBytes: limits.objectBytes,
        indirection: dynamicManifestOf(request),
        signal,
      }),
    )
    return { copied: open.object, stored, etag: stored.md5 }
  } finally {
    open.close()
  }
}

/** An empty range has no bytes to ask for. */
function bytesIn(open: OpenContent, range: ByteRange): AsyncIterable<Uint8Array> {
  return open.read(range)
}

/** The other end of the copy; in the same account unless a header names another. Throws 401 or 403 if the caller may not use it. */
async function otherTarget(
  core: Core,
  end: ObjectTarget,
  request: FastifyRequest,
  need: Need,
  other: { account: string; path: { container: string; object: string } },
): Promise<ObjectTarget> {
  const named = oneHeader(request, other.account)
  const account = named === undefined ? end.account : decodeText(named)
  if (account.includes('/')) throw new SwiftError(412, 'Account name cannot contain slashes')
  const caller = await callerAt(core, request, { account, ...other.path }, need)
  return { caller, account, projectId: projectIdOf(account), ...other.path }
}

function oneHeader(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

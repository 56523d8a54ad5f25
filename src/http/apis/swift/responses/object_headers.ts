/** The headers that describe an object. */

import { createHash } from 'node:crypto'
import type { StoredObject } from '../../../../core/model/records.js'
import type { Content } from '../../../../core/objects/contents.js'
import type { Indirection } from '../../../../core/model/indirection.js'
import { headerBytes } from '../header_text.js'
import { encodePath, quotedName } from '../urls.js'
import { metadataHeaders } from './metadata.js'
import { lastModifiedHeader, lastModifiedSeconds, timestampHeader } from './timestamps.js'

/** What conditional requests compare with (requests/conditional.ts). */
export function validatorOf({ object, etag }: Content): { etag: string | null; modifiedSeconds: number } {
  return { etag, modifiedSeconds: lastModifiedSeconds(object.updatedAt) }
}

/** Everything but Content-Length and what ranges change. */
export function objectHeaders(content: Content): Record<string, string> {
  const { object } = content
  const kept = Object.entries(object.headers).map(([name, value]) => [name, headerBytes(value)])
  return {
    'content-type': headerBytes(object.contentType),
    ...etagHeader(content),
    'last-modified': lastModifiedHeader(object.updatedAt),
    'x-timestamp': timestampHeader(object.updatedAt),
    'accept-ranges': 'bytes',
    ...expiryHeaders(object),
    ...(object.indirection === null ? undefined : indirectionHeaders(object.indirection)),
    ...(content.large === 'static' ? { 'x-manifest-etag': object.md5 ?? '' } : undefined),
    ...Object.fromEntries(kept),
    ...metadataHeaders(object.metadata, 'object'),
  }
}

/** Swift puts quotes around those that are not the MD5 of the bytes. */
export function etagHeader({ etag, large }: Pick<Content, 'etag' | 'large'>): { etag?: string } {
  // Clients compare what they get with it: there is none where the MD5 is not known.
  if (etag === null) return {}
  return { etag: large === undefined ? etag : `"${etag}"` }
}

export function expiryHeaders({ expiresAt }: StoredObject): Record<string, string> {
  return expiresAt === null ? {} : { 'x-delete-at': String(Math.floor(expiresAt / 1000)) }
}

function indirectionHeaders(indirection: Indirection): Record<string, string> {
  if (indirection.kind === 'static') return { 'x-static-large-object': 'True' }
  if (indirection.kind === 'dynamic') return { 'x-object-manifest': headerBytes(indirection.header) }
  const { account, container, object, expected } = indirection
  return {
    'x-symlink-target': quotedName(`${container}/${object}`),
    ...(account === undefined ? {} : { 'x-symlink-target-account': quotedName(account) }),
    ...(expected === undefined
      ? {}
      : { 'x-symlink-target-etag': expected.etag, 'x-symlink-target-bytes': String(expected.sizeBytes) }),
  }
}

/** Those of a 304 (RFC 9110, 15.4.5), a 412 and a 416. */
export function validatorHeaders(content: Content): Record<string, string> {
  const lastModified = lastModifiedHeader(content.object.updatedAt)
  return { ...etagHeader(content), 'last-modified': lastModified, 'accept-ranges': 'bytes' }
}

/** Not to be found in the content by someone who wrote it. */
export function newBoundary(requestId: string): string {
  return createHash('md5').update(requestId).digest('hex')
}

/** Where a copy came from. */
export function copiedFromHeaders(
  source: { account: string; container: string; object: string },
  copied: StoredObject,
): Record<string, string> {
  return {
    'x-copied-from': encodePath(`${source.container}/${source.object}`),
    'x-copied-from-account': headerBytes(source.account),
    'x-copied-from-last-modified': lastModifiedHeader(copied.updatedAt),
  }
}

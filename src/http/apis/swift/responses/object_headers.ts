/** The headers that describe an object. */

import { createHash } from 'node:crypto'
import type { StoredObject } from '../../../../core/model/records.js'
import { headerBytes } from '../header_text.js'
import { metadataHeaders } from './metadata.js'
import { lastModifiedHeader, lastModifiedSeconds, timestampHeader } from './timestamps.js'

/** What conditional requests compare with (requests/conditional.ts). */
export function validatorOf(object: StoredObject): { etag: string | null; modifiedSeconds: number } {
  return { etag: object.md5, modifiedSeconds: lastModifiedSeconds(object.updatedAt) }
}

/** Everything but Content-Length and what ranges change. */
export function objectHeaders(object: StoredObject): Record<string, string> {
  const kept = Object.entries(object.headers).map(([name, value]) => [name, headerBytes(value)])
  return {
    'content-type': headerBytes(object.contentType),
    ...etagHeader(object),
    'last-modified': lastModifiedHeader(object.updatedAt),
    'x-timestamp': timestampHeader(object.updatedAt),
    'accept-ranges': 'bytes',
    ...Object.fromEntries(kept),
    ...metadataHeaders(object.metadata, 'object'),
  }
}

/** Those of a 304 (RFC 9110, 15.4.5), a 412 and a 416. */
export function validatorHeaders(object: StoredObject): Record<string, string> {
  return { ...etagHeader(object), 'last-modified': lastModifiedHeader(object.updatedAt), 'accept-ranges': 'bytes' }
}

/** None where the MD5 is not known: clients compare what they get with it. */
export function etagHeader({ md5 }: StoredObject): { etag?: string } {
  return md5 === null ? {} : { etag: md5 }
}

/** Not to be found in the content by someone who wrote it. */
export function newBoundary(requestId: string): string {
  return createHash('md5').update(requestId).digest('hex')
}

/** Percent-encodes a name, except its slashes. */
export function encodePath(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
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

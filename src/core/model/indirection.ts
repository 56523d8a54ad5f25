/**
 * Objects that stand for the bytes of others. What such an object stores itself is its manifest, or nothing.
 *
 *   static    a static large object: its manifest names each segment, with its size and its digest
 *   dynamic   a dynamic large object: all objects of a container whose names begin with a prefix
 *   link      a symbolic link; with an ETag it is static, and holds for that content of its target alone
 */

import type { ObjectRef } from './object_ref.js'

export interface StaticIndirection {
  kind: 'static'
  /** MD5 of the segments' digests. */
  etag: string
  /** Of all segments together. */
  sizeBytes: number
}

export interface DynamicIndirection {
  kind: 'dynamic'
  container: string
  prefix: string
  /** As the client wrote it. */
  header: string
}

export interface LinkIndirection {
  kind: 'link'
  /** As the client named it; undefined: the account of the link. */
  account?: string
  projectId?: string
  container: string
  object: string
  /** `largeEtag`: of the segments, if the target is a static large object. */
  expected?: { etag: string; sizeBytes: number; largeEtag?: string }
}

export type Indirection = StaticIndirection | DynamicIndirection | LinkIndirection

/** For a column of the catalog. */
export function indirectionText(indirection: Indirection | null): string | null {
  return indirection === null ? null : JSON.stringify(indirection)
}

/** What `indirectionText` wrote. */
export function parseIndirection(text: string | null): Indirection | null {
  return text === null ? null : (JSON.parse(text) as Indirection)
}

/** The target of a link that is in the account of this project. */
export function targetOf(link: LinkIndirection, projectId: string): ObjectRef {
  return { projectId: link.projectId ?? projectId, container: link.container, object: link.object }
}

/** How many bytes the object counts for in a listing, and as a segment of a dynamic large object. */
export function listedBytes({
  indirection,
  sizeBytes,
}: {
  indirection: Indirection | null
  sizeBytes: number
}): number {
  return indirection?.kind === 'static' ? indirection.sizeBytes : sizeBytes
}

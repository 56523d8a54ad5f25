/**
 * What the name of an object reads as: the object itself, the target of a symbolic link, or the segments of a large object.
 *
 * Every segment is read with the rights of the caller. All that a client can make long or deep is bounded: links, levels of
 * manifests, and segments of one answer.
 */

import { createHash } from 'node:crypto'
import type { Catalog } from '../../catalog/catalog.js'
import type { ReadHandle } from '../../engine/readers.js'
import {
  ContainerNotFound,
  LargeObjectTooLong,
  LinkTargetChanged,
  ManifestTooDeep,
  ObjectNotFound,
  SegmentMismatch,
  SegmentMissing,
  TooManyLinks,
} from '../model/errors.js'
import type { ProjectCaller, StoredObject } from '../model/records.js'
import { type ByteRange, openCurrent, type OpenData } from '../tree/open_data.js'
import type { Tree } from '../tree/tree.js'
import type { Place } from './access.js'
import { type SegmentRow, segmentsOf } from './containers.js'
import { type LinkIndirection, listedBytes, targetOf } from '../model/indirection.js'
import type { ObjectRef } from '../model/object_ref.js'
import { type Objects, readObject } from './objects.js'
import { type FindPieces, type Part, type Piece, SegmentedData } from './segmented_data.js'
import {
  isData,
  type ManifestSegment,
  parseManifest,
  segmentBytes,
  segmentPath,
  segmentRange,
} from './static_manifest.js'

/** How many links one name may lead through. */
export const linksMax = 2
/** How many manifests may lie within each other. */
const manifestLevelsMax = 10
/** Of a dynamic large object, and of the parts of an answer. */
export const segmentsMax = 10_000

/** `list`: all objects of the container are listed. */
export type CallerOf = (place: Place, need: 'read' | 'list') => Promise<ProjectCaller>

export interface ReadAs {
  /** Which links are followed (default: all); another one is presented itself. */
  follow?: 'all' | 'static' | 'none' | undefined
  /** The ETag that the object must have: LinkTargetChanged otherwise. */
  expected?: string | undefined
  /** A manifest is presented itself, and not its segments. */
  manifest?: boolean | undefined
  /** With whose rights a target or a segment is read (default: the caller's). What it throws ends the reading. */
  callerOf?: CallerOf | undefined
  /** Called with the target of each link that is followed. */
  onFollow?: ((target: ObjectRef) => void) | undefined
}

export interface Content {
  object: StoredObject
  /** Where the links end. */
  ref: ObjectRef
  /** Of all that is read. */
  sizeBytes: number
  /** null: not known. */
  etag: string | null
  /** Put together from segments: the ETag is not the MD5 of the bytes. */
  large?: 'static' | 'dynamic' | undefined
}

export interface OpenContent extends Content, OpenData {
  /** Must resolve before one of the ranges is read. Throws SegmentMissing, SegmentMismatch, LargeObjectTooLong. */
  prepare?: (ranges: readonly ByteRange[]) => Promise<void>
}

export interface ContentsParts {
  catalog: Catalog
  tree: Tree
  objects: Objects
}

export class Contents {
  readonly #catalog: Catalog
  readonly #tree: Tree
  readonly #objects: Objects

  constructor({ catalog, tree, objects }: ContentsParts) {
    this.#catalog = catalog
    this.#tree = tree
    this.#objects = objects
  }

  /** Throws ContainerNotFound, ObjectNotFound, TooManyLinks, LinkTargetChanged, LargeObjectTooLong. */
  async head(caller: ProjectCaller, ref: ObjectRef, as: ReadAs = {}): Promise<Content> {
    return (await this.#describe(caller, ref, as)).content
  }

  /** For reading. The caller must close it. Throws as `head` does. */
  async open(caller: ProjectCaller, ref: ObjectRef, as: ReadAs = {}): Promise<OpenContent> {
    return openCurrent(`the object ${ref.object}`, async () => {
      const { content, rows } = await this.#describe(caller, ref, as)
      if (content.large === undefined) return { ...content, ...(await this.#objects.openStored(content.object)) }
      const segments = await this.#segmentsIn(content, rows)
      const data = new SegmentedData(this.#findPieces(as.callerOf ?? (async () => caller), segments))
      return {
        ...content,
        prepare: (ranges) => data.prepare(ranges),
        read: (range) => data.read(range),
        get direct() {
          return data.direct
        },
        close: () => data.close(),
      }
    })
  }

  /** The segments of a static large object. Throws ResourceNotFound if it was deleted or replaced meanwhile. */
  async manifest(object: StoredObject): Promise<ManifestSegment[]> {
    return parseManifest(await this.#tree.readAll(object.resourceId, object.sizeBytes))
  }

  async #describe(
    caller: ProjectCaller,
    ref: ObjectRef,
    as: ReadAs,
  ): Promise<{ content: Content; rows: SegmentRow[] }> {
    const { object, ref: found } = await this.#follow(caller, ref, as)
    const { indirection } = object
    const plain = { object, ref: found, sizeBytes: object.sizeBytes, etag: object.md5 }
    if (indirection === null || indirection.kind === 'link' || as.manifest) return { content: plain, rows: [] }
    if (indirection.kind === 'static') {
      const { sizeBytes, etag } = indirection
      return { content: { ...plain, large: 'static', sizeBytes, etag }, rows: [] }
    }
    const { container, prefix } = indirection
    const place = { projectId: found.projectId, container }
    const lister = (await as.callerOf?.(place, 'list')) ?? caller
    const rows = await segmentsOf(this.#catalog.db, lister, place, { prefix, max: segmentsMax })
    const digest = createHash('md5')
    for (const { md5 } of rows) digest.update(md5 ?? '')
    const sizeBytes = rows.reduce((sum, row) => sum + listedBytes(row), 0)
    return { content: { ...plain, large: 'dynamic', sizeBytes, etag: digest.digest('hex') }, rows }
  }

  async #segmentsIn({ object, ref: { projectId } }: Content, rows: SegmentRow[]): Promise<Segment[]> {
    const { indirection } = object
    if (indirection?.kind === 'dynamic') {
      return rows.map((row) => ({
        bytes: listedBytes(row),
        start: 0,
        objectBytes: listedBytes(row),
        ref: { projectId, container: indirection.container, object: row.name },
        // One that is itself a dynamic large object is read as it is: it would find itself again.
        manifest: row.indirection?.kind === 'dynamic',
      }))
    }
    return (await this.manifest(object)).map((segment) => {
      if (isData(segment)) return { bytes: segmentBytes(segment), data: segment.data }
      const { start, end } = segmentRange(segment)
      const ref = { projectId, ...segmentPath(segment) }
      return { bytes: end - start, start, objectBytes: segment.bytes, etag: segment.hash, ref }
    })
  }

  async #follow(
    caller: ProjectCaller,
    ref: ObjectRef,
    { follow = 'all', expected: first, callerOf, onFollow }: ReadAs,
  ): Promise<{ object: StoredObject; ref: ObjectRef }> {
    let at = ref
    let expected = first
    for (let links = 0; ; links++) {
      const reader = links === 0 ? caller : ((await callerOf?.(at, 'read')) ?? caller)
      const object = await readObject(this.#catalog.db, reader, at)
      const link = linkToFollow(object, follow)
      const found = link?.expected?.etag ?? object.md5
      if (expected !== undefined && expected !== found) throw new LinkTargetChanged(found ?? '', expected)
      if (link === undefined) return { object, ref: at }
      if (links >= linksMax) throw new TooManyLinks(String(linksMax))
      expected = link.expected?.etag
      at = targetOf(link, at.projectId)
      onFollow?.(at)
    }
  }

  #findPieces(callerOf: CallerOf, segments: readonly Segment[]): FindPieces {
    return async (range, open) => {
      const pieces: Piece[] = []
      const add = (piece: Piece) => {
        if (pieces.push(piece) > segmentsMax) throw new LargeObjectTooLong(String(segmentsMax))
      }
      await this.#collect({ callerOf, open, add }, segments, range, 1)
      return pieces
    }
  }

  /** Adds the pieces of a range of the segments. */
  async #collect(to: Collecting, segments: readonly Segment[], range: ByteRange, level: number): Promise<void> {
    if (level > manifestLevelsMax) throw new ManifestTooDeep(String(manifestLevelsMax))
    let at = 0
    for (const segment of segments) {
      const part = overlap(range, { start: at, end: at + segment.bytes })
      at += segment.bytes
      if (part === undefined) continue
      if ('data' in segment) to.add({ bytes: Buffer.from(segment.data, 'base64').subarray(part.start, part.end) })
      else {
        const { start } = segment
        await this.#collectObject(to, segment, { start: start + part.start, end: start + part.end }, level)
      }
    }
  }

  async #collectObject(to: Collecting, segment: SegmentObject, range: ByteRange, level: number): Promise<void> {
    const { ref, objectBytes, etag, manifest } = segment
    try {
      // A try that fails has added nothing.
      await openCurrent(`the object ${ref.object}`, async () => {
        const { callerOf } = to
        const caller = await callerOf(ref, 'read')
        const { content, rows } = await this.#describe(caller, ref, { manifest, callerOf })
        if (content.sizeBytes !== objectBytes || (etag !== undefined && content.etag !== etag))
          throw new SegmentMismatch(ref.container, ref.object)
        if (content.large !== undefined)
          return this.#collect(to, await this.#segmentsIn(content, rows), range, level + 1)
        const { resourceId } = content.object
        to.add({ handle: await to.open({ key: resourceId, open: () => this.#tree.readHandle(resourceId) }), range })
      })
    } catch (error) {
      const missing = error instanceof ObjectNotFound || error instanceof ContainerNotFound
      throw missing ? new SegmentMissing(ref.container, ref.object) : error
    }
  }
}

interface Collecting {
  callerOf: CallerOf
  open: (part: Part) => Promise<ReadHandle>
  add: (piece: Piece) => void
}

/** A part of a large object. */
type Segment = { bytes: number; data: string } | SegmentObject

interface SegmentObject {
  /** Of the part. */
  bytes: number
  /** Where the part begins in its object. */
  start: number
  ref: ObjectRef
  /** What the object must have as a whole. */
  objectBytes: number
  etag?: string | undefined
  /** It is read as the manifest that it is. */
  manifest?: boolean | undefined
}

function linkToFollow({ indirection }: StoredObject, follow: ReadAs['follow']): LinkIndirection | undefined {
  if (indirection?.kind !== 'link' || follow === 'none') return undefined
  return follow === 'static' && indirection.expected === undefined ? undefined : indirection
}

/** Relative to the start of the second one; undefined: they have no byte in common. */
function overlap(range: ByteRange, segment: ByteRange): ByteRange | undefined {
  const start = Math.max(range.start, segment.start) - segment.start
  const end = Math.min(range.end, segment.end) - segment.start
  return start < end ? { start, end } : undefined
}

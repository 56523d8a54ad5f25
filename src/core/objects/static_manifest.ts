/** The manifest of a static large object as it is stored: JSON, as Swift writes it (swift/common/middleware/slo.py). */

/** Bytes of an object, or of the range of it that the manifest names. */
export interface ObjectSegment {
  /** `/<container>/<object>` */
  name: string
  /** Of the whole object. */
  bytes: number
  /** Its ETag. */
  hash: string
  content_type: string
  last_modified: string
  /** `<first>-<last>` */
  range?: string
  /** It was a static large object itself. */
  sub_slo?: true
}

/** Bytes that are in the manifest itself, in base64. */
interface DataSegment {
  data: string
}

export type ManifestSegment = ObjectSegment | DataSegment

export function isData(segment: ManifestSegment): segment is DataSegment {
  return 'data' in segment
}

/** What `JSON.stringify` made of segments that were validated when the manifest was put. */
export function parseManifest(bytes: Buffer): ManifestSegment[] {
  return JSON.parse(bytes.toString('utf8')) as ManifestSegment[]
}

/** The part of its object that a segment is: all of it by default. */
export function segmentRange({ range, bytes }: ObjectSegment): { start: number; end: number } {
  const [first, last] = range === undefined ? [0, bytes - 1] : range.split('-').map(Number)
  return { start: first as number, end: (last as number) + 1 }
}

export function segmentBytes(segment: ManifestSegment): number {
  if (isData(segment)) return Buffer.byteLength(segment.data, 'base64')
  const { start, end } = segmentRange(segment)
  return end - start
}

/** The container and the object of `/<container>/<object>`. */
export function segmentPath({ name }: ObjectSegment): { container: string; object: string } {
  const path = name.replace(/^\/+/, '')
  const slash = path.indexOf('/')
  return { container: path.slice(0, slash), object: path.slice(slash + 1) }
}

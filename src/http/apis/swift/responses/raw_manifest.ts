/** The manifest of a static large object in the form in which a client puts it (swift/common/middleware/slo.py, `format=raw`). */

import { isData, type ManifestSegment } from '../../../../core/objects/static_manifest.js'

export function rawManifest(segments: readonly ManifestSegment[]): Buffer {
  const entries = segments.map((segment) => {
    if (isData(segment)) return { data: segment.data }
    const { name, bytes, hash, range } = segment
    return { path: name, size_bytes: bytes, etag: hash, ...(range === undefined ? {} : { range }) }
  })
  return Buffer.from(JSON.stringify(entries))
}

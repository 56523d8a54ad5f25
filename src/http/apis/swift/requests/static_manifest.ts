/** The manifest that a client puts with `?multipart-manifest=put` (swift/common/middleware/slo.py). */

import { parseJson } from '../../../shared/body.js'
import { SwiftError } from '../errors.js'
import { limits } from '../limits.js'
import { parseRanges } from './ranges.js'

/** Of an object, which is yet to be looked at. */
export interface WantedSegment {
  /** As the client wrote it. */
  path: string
  container: string
  object: string
  sizeBytes: number | undefined
  etag: string | undefined
  /** `0-99`, `100-` or `-100` */
  range: string | undefined
}

export type WantedPart = WantedSegment | { data: Buffer }

export function isWantedData(part: WantedPart): part is { data: Buffer } {
  return 'data' in part
}

/** Throws 400 with one line for each entry that is wrong, 413 for too many. `self`: the object that is put. */
export function parseWantedManifest(body: Buffer, self: { container: string; object: string }): WantedPart[] {
  const entries = parsed(body)
  if (!Array.isArray(entries)) throw new SwiftError(400, 'Manifest must be a list.\n')
  const errors: string[] = []
  const parts = entries.map((entry: unknown, index) => {
    const part = partOf(entry, { self, isLast: index === entries.length - 1 })
    if (typeof part === 'string') errors.push(`Index ${index}: ${part}`)
    return part as WantedPart
  })
  if (errors.length === 0 && parts.length > 0 && parts.every(isWantedData)) {
    errors.push('Inline data segments require at least one object-backed segment.')
  }
  if (errors.length > 0) throw new SwiftError(400, errors.slice(0, errorsMax).join('\n').concat('\n'))
  if (parts.filter((part) => !isWantedData(part)).length > limits.manifestSegments) {
    throw new SwiftError(413, `Number of object-backed segments must be <= ${limits.manifestSegments}`)
  }
  return parts
}

const errorsMax = 1000

function parsed(body: Buffer): unknown {
  try {
    return parseJson(body)
  } catch {
    throw new SwiftError(400, 'Manifest must be valid JSON.\n')
  }
}

interface Place {
  self: { container: string; object: string }
  isLast: boolean
}

/** A text says what is wrong with the entry. */
function partOf(entry: unknown, place: Place): WantedPart | string {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return 'not a JSON object'
  const fields = entry as Record<string, unknown>
  const kind = ['data', 'path'].find((key) => Object.hasOwn(fields, key))
  if (kind === undefined) return "expected keys to include one of 'data' or 'path'"
  const known = kind === 'data' ? ['data'] : ['path', 'range', 'etag', 'size_bytes']
  const extraneous = Object.keys(fields).filter((key) => !known.includes(key))
  if (extraneous.length > 0) {
    const names = extraneous.sort().map((key) => JSON.stringify(key.slice(0, 64)))
    return `extraneous keys ${names.slice(0, 20).join(', ')}`
  }
  return kind === 'data' ? dataOf(fields.data) : segmentOf(fields, place)
}

function dataOf(data: unknown): WantedPart | string {
  const isBase64 =
    typeof data === 'string' && data.trim().length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(data.trim())
  if (!isBase64) return 'data must be valid base64'
  const bytes = Buffer.from(data, 'base64')
  return bytes.length < 1 ? 'too small; each segment must be at least 1 byte.' : { data: bytes }
}

function segmentOf({ path, etag, size_bytes, range }: Record<string, unknown>, place: Place): WantedPart | string {
  if (typeof path !== 'string') return '"path" must be a string'
  if (etag !== undefined && etag !== null && typeof etag !== 'string') {
    return '"etag" must be a string or null (if provided)'
  }
  const [, container, object] = /^\/*([^/]+)\/(.*)$/s.exec(path) ?? []
  if (container === undefined || !object?.replace(/^\/+/, '')) {
    return 'path does not refer to an object. Path must be of the form /container/object.'
  }
  const sizeBytes = sizeOf(size_bytes)
  if (sizeBytes === null) return 'invalid size_bytes'
  if (sizeBytes !== undefined && sizeBytes < 1 && !place.isLast) {
    return 'too small; each segment must be at least 1 byte.'
  }
  if (container === place.self.container && object === place.self.object) {
    return 'manifest must not include itself as a segment'
  }
  const wanted = rangeOf(range, sizeBytes)
  if (typeof wanted === 'string') return wanted
  return { path, container, object, sizeBytes, etag: etag ?? undefined, range: wanted.range }
}

/** null: it is no size. */
function sizeOf(value: unknown): number | undefined | null {
  if (value === undefined || value === null) return undefined
  const number = typeof value === 'string' && /^\s*-?\d{1,16}\s*$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : null
}

/** A text says what is wrong with it. */
function rangeOf(value: unknown, sizeBytes: number | undefined): { range: string | undefined } | string {
  if (value === undefined || value === null || value === '') return { range: undefined }
  if (typeof value !== 'string' || value.length > 1000) return 'invalid range'
  if (value.includes(',') && /^[\d\s,-]*$/.test(value)) return 'multiple ranges (only one allowed)'
  if (parseRanges(`bytes=${value}`, Number.MAX_SAFE_INTEGER) === undefined) return 'invalid range'
  const satisfiable = sizeBytes === undefined || parseRanges(`bytes=${value}`, sizeBytes)?.length === 1
  return satisfiable ? { range: value } : 'unsatisfiable range'
}

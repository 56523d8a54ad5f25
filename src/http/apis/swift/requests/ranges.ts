/**
 * `Range: bytes=…` (RFC 9110, 14.1.2 and 14.2).
 *
 * A header that is not understood is ignored. A set of ranges that only serves to make the server work (very many,
 * overlapping, or jumping about) is answered 416, with the bounds that Swift uses.
 */

export interface ByteRange {
  start: number
  /** The byte behind the last. */
  end: number
}

const maxRanges = 50
const maxOverlapping = 2
const maxDescending = 8

/** undefined: send everything. Empty: nothing of what was asked for exists (416). */
export function parseRanges(header: string | undefined, sizeBytes: number): ByteRange[] | undefined {
  const match = /^bytes=(.*)$/i.exec(header?.trim() ?? '')
  if (!match) return undefined
  const ranges: ByteRange[] = []
  for (const part of (match[1] as string).split(',')) {
    const dash = part.indexOf('-')
    if (dash < 0) return undefined
    const [first, last] = [part.slice(0, dash).trim(), part.slice(dash + 1).trim()]
    if (!areDigits(first) || !areDigits(last) || (first === '' && last === '')) return undefined
    if (first === '') {
      const suffixBytes = Number(last)
      if (suffixBytes > 0 && sizeBytes > 0) ranges.push({ start: Math.max(0, sizeBytes - suffixBytes), end: sizeBytes })
      continue
    }
    const start = Number(first)
    const end = last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)
    if (last !== '' && Number(last) < start) return undefined
    if (start < sizeBytes) ranges.push({ start, end })
  }
  return isAbusive(ranges) ? [] : ranges
}

const areDigits = (text: string): boolean => /^\d*$/.test(text)

function isAbusive(ranges: ByteRange[]): boolean {
  if (ranges.length > maxRanges) return true
  let overlapping = 0
  let descending = 0
  ranges.forEach((range, index) => {
    const before = ranges.slice(0, index)
    if (before.some((other) => range.start < other.end && other.start < range.end)) overlapping += 1
    if (index > 0 && range.start < (ranges[index - 1] as ByteRange).start) descending += 1
  })
  return overlapping > maxOverlapping || descending >= maxDescending
}

export function contentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.start}-${range.end - 1}/${sizeBytes}`
}

/** One piece of a multipart/byteranges body: what stands before its bytes. */
export interface RangePart {
  head: Buffer
  range: ByteRange
}

export interface MultipartBody {
  contentType: string
  lengthBytes: number
  parts: RangePart[]
  tail: Buffer
}

/** The frame of a multipart/byteranges answer (RFC 9110, 14.6); its exact length is known before a byte is read. */
export function multipartFrame(
  ranges: ByteRange[],
  { boundary, contentType, sizeBytes }: { boundary: string; contentType: string; sizeBytes: number },
): MultipartBody {
  const parts = ranges.map((range, index) => ({
    range,
    head: Buffer.from(
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${contentType}\r\n` +
        `Content-Range: ${contentRange(range, sizeBytes)}\r\n\r\n`,
      'utf8',
    ),
  }))
  const tail = Buffer.from(`\r\n--${boundary}--`)
  const bodyBytes = parts.reduce((sum, part) => sum + part.head.length + part.range.end - part.range.start, 0)
  return {
    contentType: `multipart/byteranges;boundary=${boundary}`,
    lengthBytes: bodyBytes + tail.length,
    parts,
    tail,
  }
}

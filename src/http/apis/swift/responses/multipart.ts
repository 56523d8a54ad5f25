/** Bodies of one or several ranges (RFC 9110, 14.4 and 14.6). */

import type { ByteRange } from '../../../../core/tree/open_data.js'

export function contentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.start}-${range.end - 1}/${sizeBytes}`
}

/** A part of a multipart/byteranges body; `head` precedes its bytes. */
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

/** Returns the frame of a multipart/byteranges body, whose exact length is known before a byte is read. */
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

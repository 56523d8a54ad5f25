/**
 * `Range: bytes=…` (RFC 9110, 14.1.2 and 14.2).
 *
 * An invalid header is ignored. Sets of ranges that only burden the server (too many, overlapping or out of order) are refused
 * with 416, within the bounds that Swift uses.
 */

import type { ByteRange } from '../../../../core/tree/open_data.js'

const maxRanges = 50
const maxOverlapping = 2
const maxDescending = 8

/** Returns undefined for the whole object, and an empty list if no requested byte exists (416). */
export function parseRanges(header: string | undefined, sizeBytes: number): ByteRange[] | undefined {
  const match = /^bytes[ \t]*=(.*)$/i.exec(header?.trim() ?? '')
  if (!match) return undefined
  const ranges: ByteRange[] = []
  // A suffix of nothing is all of it.
  let isEmptySuffix = false
  for (const part of (match[1] as string).split(',')) {
    const dash = part.indexOf('-')
    if (dash < 0) return undefined
    const [first, last] = [part.slice(0, dash).trim(), part.slice(dash + 1).trim()]
    if (!areDigits(first) || !areDigits(last) || (first === '' && last === '')) return undefined
    if (first === '') {
      const suffixBytes = Number(last)
      if (suffixBytes > 0 && sizeBytes === 0) isEmptySuffix = true
      if (suffixBytes > 0 && sizeBytes > 0) ranges.push({ start: Math.max(0, sizeBytes - suffixBytes), end: sizeBytes })
      continue
    }
    const start = Number(first)
    const end = last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)
    if (last !== '' && Number(last) < start) return undefined
    if (start < sizeBytes) ranges.push({ start, end })
  }
  if (ranges.length === 0 && isEmptySuffix) return undefined
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

import type { ByteRange } from '../../../../core/tree/open_data.js'
import { GlanceFault } from '../errors.js'

/** Parses a single range (RFC 9110, 14.1.2); undefined for the whole image. Throws 416 unless it is one satisfiable range of bytes. */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  if (header === undefined) return undefined
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? []
  const suffix = first === ''
  const start = suffix ? Math.max(sizeBytes - Number(last), 0) : Number(first)
  const end = suffix || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)
  if ((first === '' && last === '') || start >= end)
    throw new GlanceFault(416, `The range '${header}' is not one range of the image's ${sizeBytes} bytes.`, {
      'Content-Range': `bytes */${sizeBytes}`,
    })
  return { start, end }
}

/** Text in headers: UTF-8, which Node reads and writes as one character per byte. */

import { SwiftError } from './errors.js'

/** Returns the text whose UTF-8 the header's bytes are. Throws 400 for other bytes. */
export function headerText(value: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(value, 'latin1'))
  } catch {
    throw new SwiftError(400, 'Metadata must be valid UTF-8')
  }
}

/** Returns the characters for Node to write into a header; CR, LF and NUL are dropped. */
export function headerBytes(text: string): string {
  return Buffer.from(text.replace(/[\r\n\0]/g, ''), 'utf8').toString('latin1')
}

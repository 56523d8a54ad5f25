/**
 * Which account, container and object a URL names.
 *
 * The whole path is percent-decoded first and split afterwards, as Swift does: `%2F` separates like `/`, and an object's
 * name is everything behind the container, slashes, dots and empty segments included. The router never sees these paths.
 */

import { SwiftError } from '../errors.js'

export interface SwiftPath {
  account: string
  /** undefined: the path names the account itself. */
  container: string | undefined
  /** undefined: the path names the container itself. */
  object: string | undefined
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `url`: the request target, from `/v1/` on. Throws 412 for what cannot be a name, as Swift does. */
export function parsePath(url: string): SwiftPath {
  const query = url.indexOf('?')
  const segments = decodeText(query < 0 ? url : url.slice(0, query)).split('/')
  // ['', 'v1', account, container, ...object]
  const account = segments[2] ?? ''
  const container = segments[3] ?? ''
  const object = segments.slice(4).join('/')
  if (account === '' || (container === '' && object !== '')) throw new SwiftError(412, 'Bad URL')
  return { account, container: container || undefined, object: object || undefined }
}

/** `<container>/<object>` of X-Copy-From and Destination, with or without a leading slash. */
export function parseObjectReference(header: string, headerName: string): { container: string; object: string } {
  const path = decodeText(header).replace(/^\//, '')
  const slash = path.indexOf('/')
  const container = slash < 0 ? '' : path.slice(0, slash)
  const object = slash < 0 ? '' : path.slice(slash + 1)
  if (container === '' || object === '') {
    throw new SwiftError(412, `${headerName} header must be of the form <container name>/<object name>`)
  }
  return { container, object }
}

/** Percent-decodes, leaving a stray `%` as it is; the outcome must be UTF-8 without NUL. */
export function decodeText(text: string): string {
  const bytes = text.includes('%')
    ? Buffer.from(
        text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
        'latin1',
      )
    : Buffer.from(text, 'latin1')
  try {
    const decoded = utf8.decode(bytes)
    if (!decoded.includes('\0')) return decoded
  } catch {
    // falls through to the refusal
  }
  throw new SwiftError(412, 'Invalid UTF8 or contains NULL')
}

/** What a response to a signed URL shows: nothing of the object's metadata that is not public, and under which name to save it. */

import type { FastifyReply } from 'fastify'
import { withoutTrailingSlashes } from '../../../../lib/addresses.js'

interface Shown {
  expiresSeconds: number
  filename: string | undefined
  inline: boolean
}

/** `object`: its name. */
export function showSigned(reply: FastifyReply, { expiresSeconds, filename, inline }: Shown, object: string): void {
  for (const name of Object.keys(reply.getHeaders())) {
    if (name.startsWith('x-object-meta-') && !name.startsWith('x-object-meta-public-')) void reply.removeHeader(name)
  }
  const { method } = reply.request
  if ((method !== 'GET' && method !== 'HEAD') || reply.statusCode >= 300) return
  const kept = reply.getHeader('content-disposition')
  void reply.header('content-disposition', disposition({ filename, inline, object, kept }))
  const expires = new Date(expiresSeconds * 1000)
  if (!Number.isNaN(expires.getTime())) void reply.header('expires', expires.toUTCString())
}

function disposition(wanted: { filename: string | undefined; inline: boolean; object: string; kept: unknown }): string {
  const { filename, inline, object, kept } = wanted
  if (inline) return filename === undefined ? 'inline' : named('inline', filename)
  if (filename !== undefined) return named('attachment', filename)
  if (typeof kept === 'string') return kept
  return named('attachment', withoutTrailingSlashes(object).replace(/^.*\//s, ''))
}

/** Both forms of RFC 6266, 4.3: percent-encoded, for clients that read only one of them. */
function named(type: string, filename: string): string {
  const encoded = percentEncoded(filename)
  return `${type}; filename="${encoded.replaceAll('%20', ' ')}"; filename*=UTF-8''${encoded}`
}

/** Everything but letters, digits, slashes and `_.-~`. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%2F', '/')
}

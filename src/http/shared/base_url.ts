/**
 * Under which URL a client sees this server: what catalogs, version documents and `links` are made of.
 *
 * A configured public URL wins. Otherwise the Host header of the request is believed as far as it is well-formed (it
 * only comes back to the one who sent it), and X-Forwarded-Proto/-Host when a trusted proxy sent the request. Of several values the
 * last one counts: it is what that proxy said, whatever a client had put there before.
 */

import type { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import { withoutTrailingSlashes } from '../../lib/addresses.js'
import type { ProxyTrust } from '../../lib/trusted_proxies.js'

export interface UrlSettings {
  /** Such as `https://cloud.example.org/storage`; no trailing slash needed. */
  publicUrl?: string | undefined
  /** Proxies that may say on whose behalf they ask; default: none. */
  trustProxy?: ProxyTrust | undefined
}

const wellFormedHost = /^(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

/** Answers scheme, host and path prefix without a trailing slash. */
export function baseUrl(request: FastifyRequest, settings: UrlSettings): string {
  if (settings.publicUrl) return withoutTrailingSlashes(settings.publicUrl)
  let scheme = (request.raw.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http'
  let host = request.raw.headers.host
  if (settings.trustProxy?.(request.raw.socket.remoteAddress, 0)) {
    if (lastOf(request.raw.headers['x-forwarded-proto']) === 'https') scheme = 'https'
    host = lastOf(request.raw.headers['x-forwarded-host']) ?? host
  }
  return `${scheme}://${host !== undefined && wellFormedHost.test(host) ? host : ownAddress(request)}`
}

function ownAddress(request: FastifyRequest): string {
  const { localAddress = '127.0.0.1', localPort = 80 } = request.raw.socket
  return localAddress.includes(':') ? `[${localAddress}]:${localPort}` : `${localAddress}:${localPort}`
}

function lastOf(header: string | string[] | undefined): string | undefined {
  const value = Array.isArray(header) ? header.at(-1) : header
  return value?.slice(value.lastIndexOf(',') + 1).trim()
}

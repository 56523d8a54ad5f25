/**
 * Under which URL a client sees this server: what catalogs, version documents and `links` are made of.
 *
 * A configured public URL wins. Otherwise the Host header of the request is believed as far as it is well-formed (it
 * only comes back to the one who sent it), and X-Forwarded-Proto/-Host only when the operator says that a proxy sets them.
 */

import type { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import { withoutTrailingSlashes } from '../lib/addresses.js'

export interface UrlSettings {
  /** Such as `https://cloud.example.org/storage`; no trailing slash needed. */
  publicUrl?: string | undefined
  /** Believe X-Forwarded-Proto and X-Forwarded-Host: only behind a proxy that always sets or removes them. */
  trustProxy?: boolean | undefined
}

const wellFormedHost = /^(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

/** Answers scheme, host and path prefix without a trailing slash. */
export function baseUrl(request: FastifyRequest, settings: UrlSettings): string {
  if (settings.publicUrl) return withoutTrailingSlashes(settings.publicUrl)
  let scheme = (request.raw.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http'
  let host = request.raw.headers.host
  if (settings.trustProxy) {
    if (firstOf(request.raw.headers['x-forwarded-proto']) === 'https') scheme = 'https'
    host = firstOf(request.raw.headers['x-forwarded-host']) ?? host
  }
  return `${scheme}://${host !== undefined && wellFormedHost.test(host) ? host : ownAddress(request)}`
}

function ownAddress(request: FastifyRequest): string {
  const { localAddress = '127.0.0.1', localPort = 80 } = request.raw.socket
  return localAddress.includes(':') ? `[${localAddress}]:${localPort}` : `${localAddress}:${localPort}`
}

function firstOf(header: string | string[] | undefined): string | undefined {
  const value = Array.isArray(header) ? header[0] : header
  return value?.split(',')[0]?.trim()
}

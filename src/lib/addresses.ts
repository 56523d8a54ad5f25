/** Addresses to listen on: `HOST:PORT` (IPv6 in brackets) or `unix:PATH`, each with an optional `?tls=MODE`. */

import { BlockList, isIPv4, isIPv6, type Server } from 'node:net'
import { defineError } from './errors.js'

export const BadAddress = defineError('bad_address', 400, 'expected %s, got "%s"')

export const hostPortForm = 'HOST:PORT or [IPV6]:PORT'
export const listenAddressForm = 'HOST:PORT, [IPV6]:PORT or unix:PATH'

export interface HostPort {
  /** Without brackets. */
  host: string
  port: number
}

/** off: no TLS. opportunistic: TLS for clients that ask for it. required: clients without TLS are refused. */
export const tlsModes = ['off', 'opportunistic', 'required'] as const
export type TlsMode = (typeof tlsModes)[number]

/** `tls` overrides --nbd-tls for this listener. `fd`: the socket is open already, and has this descriptor. */
export type ListenAddress = (({ kind: 'tcp' } & HostPort) | { kind: 'unix'; path: string }) & {
  tls?: TlsMode
  fd?: number
}

/** Throws BadAddress. Port 0 stands for any free port. */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:/\s[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65535 || (match?.[1] !== undefined && !isIPv6(host)))
    throw new BadAddress(hostPortForm, text)
  return { host, port }
}

/** Throws BadAddress. */
export function parseListenAddress(text: string): ListenAddress {
  const [, bare = text, mode] = /^(.*)\?tls=([a-z]*)$/.exec(text) ?? []
  const tls = tlsModes.find((known) => known === mode)
  if (mode !== undefined && tls === undefined) throw new BadAddress(listenAddressForm, text)
  return { ...parsePlain(bare), ...(tls && { tls }) }
}

function parsePlain(text: string): ListenAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    if (path === '') throw new BadAddress(listenAddressForm, text)
    return { kind: 'unix', path }
  }
  return { kind: 'tcp', ...parseHostPort(text) }
}

export function formatListenAddress(address: ListenAddress): string {
  return address.kind === 'unix' ? `unix:${address.path}` : formatHostPort(address)
}

export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Returns true if only this machine can reach the host. A name other than localhost may resolve to anything. */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return loopback.check(host, 'ipv4')
  if (isIPv6(host)) return loopback.check(host, 'ipv6')
  return host === 'localhost'
}

/** Returns the URL in a form that paths can be appended to. */
export function withoutTrailingSlashes(url: string): string {
  let end = url.length
  while (url[end - 1] === '/') end -= 1
  return url.slice(0, end)
}

/** Where a server listens that was asked to listen there: with the real port in place of 0. */
export function boundTo(server: Pick<Server, 'address'>, { host, port }: HostPort): HostPort {
  const bound = server.address()
  return { host, port: typeof bound === 'object' && bound !== null ? bound.port : port }
}

/** Replaces a wildcard address by `name`, by which clients can reach this machine. */
export function reachable({ host, port }: HostPort, name: string): HostPort {
  return { host: host === '0.0.0.0' || host === '::' ? name : host, port }
}

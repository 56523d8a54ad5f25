/**
 * Which proxies are trusted to say on whose behalf they ask (X-Forwarded-For, -Proto and -Host), and which addresses belong to one
 * client.
 *
 * X-Forwarded-For is read from its last address backwards, as long as the address before was a trusted proxy's. What a client itself
 * writes into the header stands in front of what the proxies append, and is never reached.
 */

import { BlockList, isIP } from 'node:net'

/** `hop` 0 is the peer of the connection, 1 the last address of X-Forwarded-For, and so on. */
export type ProxyTrust = (address: string | undefined, hop: number) => boolean

export const trustNobody: ProxyTrust = () => false

const namedRanges: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}
const hopsMax = 16
/** Completes "expected …". */
export const proxiesExpected = `the proxies' addresses such as "10.0.0.7, 192.168.0.0/16", ${Object.keys(namedRanges).join(', ')}, or their number from 1 to ${hopsMax}`

/**
 * The trust that a setting describes: addresses, networks and names of `namedRanges` (a list, or text with commas), or the number of
 * proxies that each request passes. 0 and false: nobody. Throws an Error that says what is expected.
 */
export function parseTrustedProxies(value: unknown): ProxyTrust {
  if (value === false || value === 'false' || value === 0 || value === '0') return trustNobody
  const hops = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  if (typeof hops === 'number') {
    if (!Number.isInteger(hops) || hops < 1 || hops > hopsMax) throw refused(value)
    return (_address, hop) => hop < hops
  }
  const items: unknown[] = typeof hops === 'string' ? hops.split(',').map((item) => item.trim()) : asList(hops)
  if (items.length === 0) throw refused(value)
  const trusted = new BlockList()
  for (const item of items) if (typeof item !== 'string' || !add(trusted, item)) throw refused(item)
  return (address) => address !== undefined && isIn(trusted, address)
}

const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** Not "true": it would believe whatever a client writes. */
const refused = (value: unknown): Error => new Error(`expected ${proxiesExpected}, got ${JSON.stringify(value)}`)

function add(list: BlockList, item: string): boolean {
  if (Object.hasOwn(namedRanges, item))
    return (namedRanges[item] as readonly string[]).every((range) => add(list, range))
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(item) ?? []
  const version = isIP(address)
  if (version === 0 || address.includes('%')) return false
  const longest = version === 4 ? 32 : 128
  if (Number(bits ?? longest) > longest) return false
  list.addSubnet(address, Number(bits ?? longest), version === 4 ? 'ipv4' : 'ipv6')
  return true
}

/** IPv4 addresses in the form of IPv6 ("::ffff:10.0.0.7") count as what they are. */
function isIn(list: BlockList, address: string): boolean {
  const version = isIP(address)
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

/**
 * The addresses that one client can take as it likes, as one text: an IPv4 address, the /64 of an IPv6 address. Whatever is no
 * address (a trusted proxy wrote something else) counts as one client.
 */
export function clientOf(address: string | undefined): string {
  const [bare = ''] = (address ?? '').split('%', 1)
  const version = isIP(bare)
  if (version === 0) return 'unknown'
  if (version === 4) return bare
  const groups = groupsOf(bare)
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (!mapped)
    return `${groups
      .slice(0, 4)
      .map((group) => group.toString(16))
      .join(':')}::/64`
  const [high = 0, low = 0] = groups.slice(6)
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
}

/** The eight groups of a valid IPv6 address. */
function groupsOf(address: string): number[] {
  // The last two groups may be written as an IPv4 address.
  const lastAt = address.lastIndexOf(':') + 1
  const bytes = address.slice(lastAt).split('.').map(Number)
  const [a = 0, b = 0, c = 0, d = 0] = bytes
  const ofBytes = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  const text = bytes.length === 4 ? address.slice(0, lastAt) + ofBytes : address
  const [head = '', tail] = text.split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0')
  return [...first, ...zeros, ...last].map((group) => Number.parseInt(group, 16))
}

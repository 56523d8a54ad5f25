/**
 * Signed URLs: `?temp_url_sig=…&temp_url_expires=…`, with `temp_url_prefix`, `temp_url_ip_range`, `filename` and `inline`
 * (swift/common/middleware/tempurl.py). Whoever has one may do what it was signed for until it expires, without a token.
 */

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Access, Secrets } from '../../../../core/objects/access.js'
import type { ProjectCaller } from '../../../../core/model/records.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { tempUrlDigests, tempUrlMethods } from '../limits.js'
import type { SwiftPath } from './path.js'

/** What a signed URL says about its response. */
export interface TempUrl {
  expiresSeconds: number
  filename: string | undefined
  inline: boolean
}

const tempUrls = new WeakMap<FastifyRequest, TempUrl>()

/** The signed URL by which a request was allowed. */
export const tempUrlOf = (request: FastifyRequest): TempUrl | undefined => tempUrls.get(request)

const disallowedHeaders = ['X-Object-Manifest', 'X-Symlink-Target'] as const

/** Whether the request has a signature, right or wrong. */
export function isSigned(request: FastifyRequest): boolean {
  const query = request.query as Record<string, unknown>
  return ('temp_url_sig' in query || 'temp_url_expires' in query) && request.method !== 'OPTIONS'
}

/**
 * Returns whom a signed URL makes of its holder, and hides all other parameters from the handlers. Throws 401 if it is not valid for
 * this request, 400 for headers that would let it refer to other objects.
 */
export async function signedCaller(
  access: Access,
  request: FastifyRequest,
  { account, container, object }: SwiftPath,
  projectId: string,
): Promise<ProjectCaller> {
  const url = parse(request)
  if (url === undefined || container === undefined || object === undefined || !isAllowed(request, object, url)) {
    throw invalid(account)
  }
  const { prefix, digest, signature, ipRange, expiresSeconds } = url
  const path =
    prefix === undefined ? `/v1/${account}/${container}/${object}` : `prefix:/v1/${account}/${container}/${prefix}`
  const methods = request.method === 'HEAD' ? ['HEAD', 'GET', 'POST', 'PUT'] : [request.method]
  const messages = methods.map(
    (method) => `${ipRange === undefined ? '' : `ip=${ipRange}\n`}${method}\n${expiresSeconds}\n${path}`,
  )
  const fits = (key: string) =>
    messages.some((message) => timingSafeEqual(createHmac(digest, key).update(message).digest(), signature))
  const proves = ({ account: ofAccount, container: ofContainer }: Secrets) =>
    ofAccount.some(fits) ? 'account' : ofContainer.some(fits) ? 'container' : undefined
  const id = createHash('sha256').update(messages.join('\0')).update(signature).digest('base64url')
  const canWrite = request.method !== 'GET' && request.method !== 'HEAD'
  const caller = await access.bySecret({ projectId, container }, { id, canWrite, proves })
  if (caller === undefined) throw invalid(account)
  if (canWrite) refuseReferences(request)
  hideOtherParameters(request)
  tempUrls.set(request, { expiresSeconds, filename: url.filename, inline: url.inline })
  return caller
}

interface Parsed extends TempUrl {
  digest: string
  signature: Buffer
  prefix: string | undefined
  ipRange: string | undefined
}

function parse(request: FastifyRequest): Parsed | undefined {
  const signed = signatureIn(queryParameter(request, 'temp_url_sig') ?? '')
  const expiresSeconds = secondsIn(queryParameter(request, 'temp_url_expires') ?? '')
  if (signed === undefined || expiresSeconds === undefined || expiresSeconds < Date.now() / 1000) return undefined
  return {
    ...signed,
    expiresSeconds,
    prefix: queryParameter(request, 'temp_url_prefix'),
    ipRange: queryParameter(request, 'temp_url_ip_range') || undefined,
    filename: queryParameter(request, 'filename') || undefined,
    inline: queryParameter(request, 'inline') !== undefined,
  }
}

/** By the length of the digest in hexadecimal digits. */
const digestsByLength: ReadonlyMap<number, string> = new Map([
  [40, 'sha1'],
  [64, 'sha256'],
  [128, 'sha512'],
])
const digestBytes: ReadonlyMap<string, number> = new Map([
  ['sha1', 20],
  ['sha256', 32],
  ['sha512', 64],
])

/** Parses hexadecimal digits, or `DIGEST:BASE64` in either alphabet. undefined: neither, or a digest that is not accepted. */
export function signatureIn(text: string): { digest: string; signature: Buffer } | undefined {
  const colon = text.indexOf(':')
  const digest = colon < 0 ? digestsByLength.get(text.length) : text.slice(0, colon)
  if (digest === undefined || !(tempUrlDigests as readonly string[]).includes(digest)) return undefined
  const encoded = colon < 0 ? text : text.slice(colon + 1)
  if (!(colon < 0 ? /^[0-9a-f]*$/i : /^[A-Za-z0-9+/_-]*={0,2}$/).test(encoded)) return undefined
  const signature = Buffer.from(encoded, colon < 0 ? 'hex' : 'base64')
  return signature.length === digestBytes.get(digest) ? { digest, signature } : undefined
}

/** Seconds since 1970, or ISO 8601 in UTC. */
function secondsIn(text: string): number | undefined {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return undefined
  const timeMs = Date.parse(text)
  return Number.isNaN(timeMs) ? undefined : timeMs / 1000
}

function isAllowed(request: FastifyRequest, object: string, { prefix, ipRange }: Parsed): boolean {
  if (!(tempUrlMethods as readonly string[]).includes(request.method)) return false
  // Signatures name the path from /v1 on; an object of slashes alone cannot be signed.
  if (!request.originalUrl.startsWith('/v1/') || /^\/*$/.test(object)) return false
  if (prefix !== undefined && !object.startsWith(prefix)) return false
  return ipRange === undefined || isWithin(request.ip, ipRange)
}

function isWithin(address: string, range: string): boolean {
  const [network = '', bits, ...rest] = range.split('/')
  const version = isIP(network)
  if (version === 0 || rest.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return false
  const bitsMax = version === 4 ? 32 : 128
  if (Number(bits ?? bitsMax) > bitsMax) return false
  const client = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIP(client) !== version) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(network, Number(bits ?? bitsMax), family)
  return list.check(client, family)
}

function refuseReferences(request: FastifyRequest): void {
  const found = disallowedHeaders.find((name) => request.headers[name.toLowerCase()] !== undefined)
  if (found !== undefined) throw new SwiftError(400, `The header '${found}' is not allowed in this tempurl`)
}

function hideOtherParameters(request: FastifyRequest): void {
  const kept = ['temp_url_sig', 'temp_url_expires', 'temp_url_prefix', 'filename']
  const query = Object.entries(request.query as Record<string, unknown>).filter(([name]) => kept.includes(name))
  ;(request as { query: unknown }).query = Object.fromEntries(query)
}

function invalid(account: string): SwiftError {
  const realm = account.replace(/[^A-Za-z0-9_.-]/g, '').slice(0, 256) || 'unknown'
  return new SwiftError(401, '401 Unauthorized: Temp URL invalid\n', { 'www-authenticate': `Swift realm="${realm}"` })
}

/**
 * Requests of web pages from other origins (CORS), as a container's metadata allows them: `X-Container-Meta-Access-Control-*`.
 * Accounts have no such settings.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { Metadata } from '../../../../core/model/records.js'
import { SwiftError } from '../errors.js'
import { headerBytes } from '../header_text.js'
import { parsePath, type SwiftPath } from '../requests/path.js'
import { projectIdOf } from '../requests/target.js'

/** Readable by any page that may read the response at all. */
const exposedAlways = [
  'cache-control',
  'content-language',
  'content-type',
  'expires',
  'last-modified',
  'pragma',
  'etag',
  'x-timestamp',
  'x-trans-id',
  'x-openstack-request-id',
]

/** OPTIONS: the methods of the path and, for a preflight request, what its page may do. 401 for an origin that is not allowed. */
export async function answerOptions(
  core: Core,
  path: SwiftPath,
  methods: readonly string[],
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const allow = methods.join(', ')
  void reply.header('allow', allow)
  const { origin } = request.headers
  if (origin === undefined || path.container === undefined) return reply.type('text/html; charset=UTF-8').send('')
  const metadata = await metadataOf(core, path)
  const wanted = request.headers['access-control-request-method']
  if (!allows(metadata, origin) || wanted === undefined || !methods.includes(wanted)) {
    throw new SwiftError(401, undefined, { allow })
  }
  const headers = listIn(request.headers['access-control-request-headers'], ',')
  const maxAge = metadata['access-control-max-age']
  const varies = headers.length > 0 ? ['Access-Control-Request-Headers'] : []
  void reply.headers({
    ...allowedOrigin(metadata, origin),
    'access-control-allow-methods': allow,
    ...(maxAge !== undefined && { 'access-control-max-age': headerBytes(maxAge) }),
    ...(headers.length > 0 && { 'access-control-allow-headers': headers.join(', ') }),
  })
  addVary(reply, isPublic(metadata) ? varies : ['Origin', ...varies])
  return reply.type('text/html; charset=UTF-8').send('')
}

/** Lets the page that sent the request read its response, whatever the response is. Does nothing for an origin that is not allowed. */
export async function addCorsHeaders(core: Core, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { origin } = request.headers
  if (origin === undefined || request.method === 'OPTIONS') return
  const path = pathIn(request)
  if (path?.container === undefined) return
  const metadata = await metadataOf(core, path)
  if (!allows(metadata, origin)) return
  const own = Object.keys(reply.getHeaders()).filter((name) => /^x-(container|object)-meta-/.test(name))
  const exposed = listIn(metadata['access-control-expose-headers'], ' ').map((name) => name.toLowerCase())
  void reply.headers({
    ...allowedOrigin(metadata, origin),
    'access-control-expose-headers': headerBytes([...new Set([...exposedAlways, ...own, ...exposed])].join(', ')),
  })
  if (!isPublic(metadata)) addVary(reply, ['Origin'])
}

function pathIn(request: FastifyRequest): SwiftPath | undefined {
  try {
    return parsePath(request.originalUrl)
  } catch (error) {
    if (error instanceof SwiftError) return undefined
    throw error
  }
}

async function metadataOf(core: Core, { account, container }: SwiftPath): Promise<Metadata> {
  const { container: kinds } = await core.access.settings({ projectId: projectIdOf(account), container })
  return kinds?.metadata ?? {}
}

function allows(metadata: Metadata, origin: string): boolean {
  const origins = listIn(metadata['access-control-allow-origin'], ' ')
  return origins.includes(origin) || origins.includes('*')
}

const isPublic = (metadata: Metadata): boolean => metadata['access-control-allow-origin']?.trim() === '*'

const allowedOrigin = (metadata: Metadata, origin: string): Record<string, string> => ({
  'access-control-allow-origin': isPublic(metadata) ? '*' : origin,
})

function addVary(reply: FastifyReply, names: string[]): void {
  if (names.length === 0) return
  const before = reply.getHeader('vary')
  void reply.header('vary', [...(before === undefined ? [] : [String(before)]), ...names].join(', '))
}

const listIn = (text: string | undefined, separator: string): string[] =>
  (text ?? '')
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '')

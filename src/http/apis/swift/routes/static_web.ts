/**
 * Containers as web sites: index pages, error pages and listings, by a container's metadata `web-*`
 * (swift/common/middleware/staticweb.py). For requests without a token, and for those that ask for it by `X-Web-Mode`.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { listingPace } from '../../../../core/lists/listing.js'
import { ContainerNotFound, ObjectNotFound } from '../../../../core/model/errors.js'
import type { Metadata, ProjectCaller, StoredObject } from '../../../../core/model/records.js'
import type { Need } from '../../../../core/objects/access.js'
import { bytesFor } from '../../../shared/direct_body.js'
import { sendOpened } from '../../../shared/opened.js'
import { sendPieces } from '../../../shared/pieces.js'
import { isTrue } from '../../../shared/query.js'
import { SwiftError, statusPage } from '../errors.js'
import type { SwiftPath } from '../requests/path.js'
import { projectIdOf } from '../requests/target.js'
import { objectHeaders } from '../responses/object_headers.js'
import { listingPages, type WebListing } from '../responses/web_listing.js'
import { closedOnError, getObject, headObject } from './object_get.js'

/** How the site of a container is set up; empty texts for what is not. */
interface Site {
  index: string
  error: string
  listings: boolean
  css: string
  label: string
  directoryType: string
}

interface Visit {
  core: Core
  path: SwiftPath & { container: string }
  request: FastifyRequest
  reply: FastifyReply
  site: Site
  /** Throws 401 or 403. */
  allowed: (need: Need) => Promise<ProjectCaller>
  /** Scheme and host, for redirects. */
  origin: string
}

/** Whether the request may be one for a web site; what it asks for decides that. */
export function mayBeWebVisit(request: FastifyRequest, { container }: SwiftPath): boolean {
  if (container === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) return false
  return request.caller === null || isTrue(String(request.headers['x-web-mode'] ?? ''))
}

/** Returns undefined if the container is not set up as a web site: then the request is one like any other. */
export async function visitWebSite(
  core: Core,
  path: SwiftPath & { container: string },
  request: FastifyRequest,
  reply: FastifyReply,
  { allowed, origin }: Pick<Visit, 'allowed' | 'origin'>,
): Promise<FastifyReply | undefined> {
  const { container } = await core.access.settings({ projectId: projectIdOf(path.account), container: path.container })
  if (container === undefined) return undefined
  const site = siteIn(container.metadata)
  const isSite = site.index !== '' || container.metadata['web-listings'] !== undefined || site.error !== ''
  if (!isSite) {
    if (path.object === undefined && isTrue(String(request.headers['x-web-mode'] ?? ''))) throw new SwiftError(404)
    return undefined
  }
  const visit = { core, path, request, reply, site, allowed, origin }
  try {
    return await (path.object === undefined ? visitContainer(visit) : visitObject(visit, path.object))
  } catch (error) {
    const status = statusOf(error)
    // As Swift does, an object that may not be read has no error page.
    const hasPage = status === 404 || ((status === 401 || status === 403) && path.object === undefined)
    const page = hasPage && site.error !== '' ? await errorPage(visit, status) : undefined
    if (page !== undefined) return page
    throw error
  }
}

function siteIn(metadata: Metadata): Site {
  const of = (name: string) => metadata[`web-${name}`]?.trim() ?? ''
  return {
    index: of('index'),
    error: of('error'),
    listings: isTrue(of('listings')),
    css: of('listings-css'),
    label: of('listings-label'),
    directoryType: of('directory-type') || 'application/directory',
  }
}

async function visitContainer(visit: Visit): Promise<FastifyReply | undefined> {
  const { request, site, path } = visit
  await visit.allowed('list')
  if (site.index === '' && !site.listings) {
    if (isTrue(String(request.headers['x-web-mode'] ?? ''))) throw new SwiftError(404)
    return undefined
  }
  if (!pathOf(request).endsWith('/')) return redirectWithSlash(visit)
  if (site.index !== '') {
    const index = await sendIfThere(visit, site.index)
    if (index !== undefined) return index
  }
  return sendListing(visit, path.container, '')
}

async function visitObject(visit: Visit, object: string): Promise<FastifyReply> {
  const { core, site, path } = visit
  const caller = await visit.allowed('read')
  const place = { projectId: projectIdOf(path.account), container: path.container, object }
  const found = await ifThere(core.objects.head(caller, place))
  if (found !== undefined && !isDirectory(found, site)) return send(visit, caller, object)
  if (site.index === '' && !site.listings) throw new ObjectNotFound(object)
  const isFolder = object.endsWith('/')
  if (site.index !== '') {
    const index = `${object}${isFolder ? '' : '/'}${site.index}`
    if ((await ifThere(core.objects.head(caller, { ...place, object: index }))) !== undefined) {
      return isFolder ? send(visit, caller, index) : redirectWithSlash(visit)
    }
  }
  if (isFolder) return sendListing(visit, path.container, object)
  const lister = await visit.allowed('list')
  const inside = core.containers.list(lister, place, { prefix: `${object}/`, delimiter: '/', limit: 1 })
  for await (const slice of inside) if (slice.length > 0) return redirectWithSlash(visit)
  throw new ObjectNotFound(object)
}

/** Marks a folder. */
const isDirectory = (object: StoredObject, site: Site): boolean =>
  object.contentType === site.directoryType && object.sizeBytes <= 1

async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof ObjectNotFound || error instanceof ContainerNotFound) return undefined
    throw error
  }
}

async function sendIfThere(visit: Visit, object: string): Promise<FastifyReply | undefined> {
  const caller = await visit.allowed('read')
  const place = { projectId: projectIdOf(visit.path.account), container: visit.path.container, object }
  return (await ifThere(visit.core.objects.head(caller, place))) && send(visit, caller, object)
}

function send({ core, path, request, reply }: Visit, caller: ProjectCaller, object: string): Promise<FastifyReply> {
  const { account, container } = path
  const target = { caller, account, projectId: projectIdOf(account), container, object }
  return request.method === 'HEAD' ? headObject(core, target, request, reply) : getObject(core, target, request, reply)
}

const pathOf = ({ originalUrl }: FastifyRequest): string => originalUrl.split('?', 1)[0] as string

function redirectWithSlash({ request, reply, origin }: Visit): FastifyReply {
  return reply
    .code(301)
    .header('location', `${origin}${pathOf(request)}/`)
    .type('text/html; charset=UTF-8')
    .send(statusPage(301))
}

async function sendListing(visit: Visit, container: string, prefix: string): Promise<FastifyReply> {
  const { core, request, reply, site, path } = visit
  const { label, css } = site
  const shownPath = `/v1/${path.account}/${container}/${prefix}`
  const listing: WebListing = {
    title: label === '' ? shownPath : `${label}/${prefix}`,
    css,
    prefix,
    index: site.index,
  }
  if (!site.listings) {
    return reply.code(404).type('text/html; charset=UTF-8').send(listingPages.disabled(listing))
  }
  const caller = await visit.allowed('list')
  const place = { projectId: projectIdOf(path.account), container }
  const query = { delimiter: '/', prefix }
  if (prefix !== '') {
    let isEmpty = true
    for await (const slice of core.containers.list(caller, place, { ...query, limit: 1 }))
      isEmpty &&= slice.length === 0
    if (isEmpty) throw new ObjectNotFound(prefix)
  }
  // Folders come first: two passes, so that a long listing is never in memory as a whole.
  const pass = () => core.containers.list(caller, place, query, listingPace())
  return sendPieces(request, reply.type('text/html; charset=UTF-8'), listingPages.listing(listing, pass))
}

function statusOf(error: unknown): number {
  const status = (error as { status?: unknown }).status
  return typeof status === 'number' ? status : 500
}

/** The site's own page for a status: the object `<status><web-error>`. undefined if it has none that may be read. */
async function errorPage(visit: Visit, status: number): Promise<FastifyReply | undefined> {
  const { core, path, request, reply, site } = visit
  try {
    const caller = await visit.allowed('read')
    const place = { projectId: projectIdOf(path.account), container: path.container, object: `${status}${site.error}` }
    const open = await core.contents.open(caller, place)
    const all = { start: 0, end: open.sizeBytes }
    await closedOnError(open, () => open.prepare?.([all]))
    return sendOpened(open, reply, () => {
      void reply.code(status).headers(objectHeaders(open)).header('content-length', open.sizeBytes)
      return bytesFor(request, open, all)
    })
  } catch (error) {
    if ([401, 403, 404].includes(statusOf(error))) return undefined
    throw error
  }
}

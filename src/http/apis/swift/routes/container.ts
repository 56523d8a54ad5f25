/** `/v1/AUTH_<project>/<container>`: the container and the list of its objects. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { listingPace } from '../../../../core/lists/listing.js'
import type { Container, ObjectSummary } from '../../../../core/model/records.js'
import { regionBytes } from '../../../../lib/units.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError, statusPage } from '../errors.js'
import { headerBytes } from '../header_text.js'
import { checkContainerName, storagePolicy } from '../limits.js'
import { containerLists, visibleMetadata, withContainerAccess } from '../requests/access_headers.js'
import { listingFormat } from '../requests/listing_format.js'
import { listingQuery } from '../requests/listing_query.js'
import { coreChange, metadataChange } from '../requests/metadata.js'
import { checkContainerQuotas } from '../requests/quota_headers.js'
import { type ContainerTarget, ownsAccount } from '../requests/target.js'
import { indirectionFields, objectRow, sendListing } from '../responses/listing.js'
import { metadataHeaders } from '../responses/metadata.js'
import { lastModifiedHeader, timestampHeader } from '../responses/timestamps.js'

export async function getContainer(core: Core, target: ContainerTarget, request: FastifyRequest, reply: FastifyReply) {
  const format = listingFormat(request, queryParameter(request, 'format'))
  const query = listingQuery(request)
  const container = await core.containers.get(target.caller, target)
  const pace = listingPace()
  const slices = core.containers.list(target.caller, target, query, pace)
  void reply.headers(containerHeaders(container, target))
  const listing = {
    of: 'container',
    name: target.container,
    slices,
    pace,
    row: objectRow,
    jsonFields: (object: ObjectSummary) => indirectionFields(object, target.account),
  } as const
  return sendListing(request, reply, format, listing)
}

export async function headContainer(core: Core, target: ContainerTarget, request: FastifyRequest, reply: FastifyReply) {
  const format = listingFormat(request, queryParameter(request, 'format'))
  const container = await core.containers.get(target.caller, target)
  return reply.code(204).headers(containerHeaders(container, target)).type(`${format}; charset=utf-8`).send()
}

export async function putContainer(core: Core, target: ContainerTarget, request: FastifyRequest, reply: FastifyReply) {
  checkContainerName(target.container)
  checkStoragePolicy(request)
  const change = metadataChange(request.headers, 'container')
  checkContainerQuotas(request)
  const all = withContainerAccess(coreChange(change), request, ownsAccount(target.caller))
  const { created } = await core.containers.put(target.caller, target, { change: all })
  const status = created ? 201 : 202
  return reply
    .code(status)
    .type('text/html; charset=UTF-8')
    .send(created ? '' : statusPage(status))
}

export async function postContainer(core: Core, target: ContainerTarget, request: FastifyRequest, reply: FastifyReply) {
  const change = metadataChange(request.headers, 'container')
  checkContainerQuotas(request)
  const all = withContainerAccess(coreChange(change), request, ownsAccount(target.caller))
  await core.containers.update(target.caller, target, all)
  return reply.code(204).type('text/html; charset=UTF-8').send()
}

export async function deleteContainer(core: Core, target: ContainerTarget, _: FastifyRequest, reply: FastifyReply) {
  await core.containers.delete(target.caller, target)
  return reply.code(204).type('text/html; charset=UTF-8').send()
}

function checkStoragePolicy(request: FastifyRequest): void {
  const policy = request.headers['x-storage-policy']
  if (policy === undefined || policy === '' || String(policy).toLowerCase() === storagePolicy) return
  throw new SwiftError(400, `Invalid X-Storage-Policy header "${String(policy)}"`)
}

function containerHeaders(container: Container, { caller }: ContainerTarget): Record<string, string> {
  const isOwner = ownsAccount(caller)
  const lists = isOwner ? Object.entries(container.headers).filter(([name]) => name in containerLists) : []
  return {
    'x-container-object-count': String(container.objectCount),
    'x-container-bytes-used': String(container.bytesUsed),
    'x-timestamp': timestampHeader(container.createdAt),
    'last-modified': lastModifiedHeader(container.updatedAt),
    'x-storage-policy': storagePolicy,
    // How content is cut up and named: what a client must know to compute an object's hashes itself.
    'x-container-block-size': String(regionBytes),
    'x-container-block-hash': 'sha256',
    'accept-ranges': 'bytes',
    ...Object.fromEntries(lists.map(([name, value]) => [name, headerBytes(value)])),
    ...metadataHeaders(visibleMetadata(container.metadata, isOwner), 'container'),
  }
}

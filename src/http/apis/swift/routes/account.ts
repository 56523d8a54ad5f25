/** `/v1/AUTH_<project>`: the account and the list of its containers. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import { listingPace } from '../../../../core/lists/listing.js'
import type { Account } from '../../../../core/model/records.js'
import { queryParameter } from '../../../shared/query.js'
import { storagePolicy } from '../limits.js'
import { visibleMetadata, withAccountAccess } from '../requests/access_headers.js'
import { listingFormat } from '../requests/listing_format.js'
import { listingQuery } from '../requests/listing_query.js'
import { coreChange, metadataChange } from '../requests/metadata.js'
import { checkAccountQuotas } from '../requests/quota_headers.js'
import { type AccountTarget, ownsAccount } from '../requests/target.js'
import { containerRow, sendListing } from '../responses/listing.js'
import { metadataHeaders } from '../responses/metadata.js'
import { timestampHeader } from '../responses/timestamps.js'

export async function getAccount(core: Core, target: AccountTarget, request: FastifyRequest, reply: FastifyReply) {
  const format = listingFormat(request, queryParameter(request, 'format'))
  const query = listingQuery(request)
  const account = await core.accounts.get(target.caller, target.projectId)
  const pace = listingPace()
  const slices = core.accounts.list(target.caller, target.projectId, query, pace)
  void reply.headers(accountHeaders(account, target))
  const listing = { of: 'account', name: target.account, slices, pace, row: containerRow } as const
  return sendListing(request, reply, format, listing)
}

export async function headAccount(core: Core, target: AccountTarget, request: FastifyRequest, reply: FastifyReply) {
  const format = listingFormat(request, queryParameter(request, 'format'))
  const account = await core.accounts.get(target.caller, target.projectId)
  return reply.code(204).headers(accountHeaders(account, target)).type(`${format}; charset=utf-8`).send()
}

export async function postAccount(core: Core, target: AccountTarget, request: FastifyRequest, reply: FastifyReply) {
  const change = metadataChange(request.headers, 'account')
  checkAccountQuotas(request)
  const all = withAccountAccess(coreChange(change), request, ownsAccount(target.caller))
  await core.accounts.update(target.caller, target.projectId, all)
  return reply.code(204).type('text/html; charset=UTF-8').send()
}

function accountHeaders(account: Account, { caller }: AccountTarget): Record<string, string> {
  const isOwner = ownsAccount(caller)
  const acl = isOwner ? account.headers['x-account-access-control'] : undefined
  const counters = {
    'container-count': String(account.containerCount),
    'object-count': String(account.objectCount),
    'bytes-used': String(account.bytesUsed),
  }
  const prefixed = (prefix: string) =>
    Object.fromEntries(Object.entries(counters).map(([name, value]) => [prefix + name, value]))
  return {
    ...prefixed('x-account-'),
    ...prefixed(`x-account-storage-policy-${storagePolicy}-`),
    ...(acl !== undefined && { 'x-account-access-control': acl }),
    'x-timestamp': timestampHeader(account.createdAt ?? Date.now()),
    'accept-ranges': 'bytes',
    ...metadataHeaders(visibleMetadata(account.metadata, isOwner), 'account'),
  }
}

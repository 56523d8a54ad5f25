/**
 * The name of one request, in the answer's headers and in every log line: `req-<uuid>` as OpenStack services write it,
 * `tx<21 hex>-<10 hex: the time in seconds>` for object storage (swift/common/utils, `generate_trans_id`).
 */

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export function newRequestId(request: Pick<IncomingMessage, 'url'>): string {
  return isObjectStorage(request.url ?? '') ? newTransactionId() : `req-${randomUUID()}`
}

/** Does this path belong to object storage (and so to its error format and its request ids)? */
export function isObjectStorage(url: string): boolean {
  return /^\/(v1|v1\.0|auth|info)(\/|\?|$)/.test(url)
}

function newTransactionId(): string {
  const seconds = Math.floor(Date.now() / 1000)
  // Node draws the bytes of UUIDs in advance, many at a time. The digits in the middle tell the version and the variant.
  const [low, mid, , , node] = randomUUID().split('-') as [string, string, string, string, string]
  return `tx${low}${mid}${node.slice(0, 9)}-${seconds.toString(16).padStart(10, '0')}`
}

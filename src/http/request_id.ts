/**
 * The name of one request, in the answer's headers and in every log line: `req-<uuid>` as OpenStack services write it,
 * `tx<21 hex>-<10 hex: the time in seconds>` for object storage (swift/common/utils, `generate_trans_id`).
 */

import { randomBytes, randomUUID } from 'node:crypto'
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
  return `tx${randomBytes(11).toString('hex').slice(0, 21)}-${seconds.toString(16).padStart(10, '0')}`
}

/** The ID of a request, in the headers of the response and in every log line: `req-<uuid>` as OpenStack services write it. */

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type Api, apiOf } from './api.js'

/** Returns an ID in the form of the API that the request belongs to. */
export function newRequestId(apis: readonly Api[], request: Pick<IncomingMessage, 'url'>): string {
  return apiOf(apis, request.url).newRequestId?.() ?? `req-${randomUUID()}`
}

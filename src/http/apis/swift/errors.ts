/**
 * Refusals as Swift words them: a short HTML page for the plain case, a sentence of plain text where something
 * particular is wrong. Reasons and texts follow the API that clients know (openstack/swift, swift/common/swob.py).
 */

import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { describeError } from '../../shared/errors.js'

/** An answer that is not a success; thrown anywhere below a handler. */
export class SwiftError extends Error {
  override readonly name = 'SwiftError'

  constructor(
    readonly status: number,
    /** Plain text; without it the standard page of the status is sent. */
    readonly text?: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(text ?? STATUS_CODES[status] ?? String(status))
  }
}

const explanations: Readonly<Record<number, string>> = {
  202: 'The request is accepted for processing.',
  400: 'The server could not comply with the request since it is either malformed or otherwise incorrect.',
  401: 'This server could not verify that you are authorized to access the document you requested.',
  403: 'Access was denied to this resource.',
  404: 'The resource could not be found.',
  405: 'The method is not allowed for this resource.',
  406: 'The resource is not available in a format acceptable to your browser.',
  408: 'The server has waited too long for the request to be sent by the client.',
  409: 'There was a conflict when trying to complete your request.',
  411: 'Content-Length header required.',
  412: 'A precondition for this request was not met.',
  413: 'The body of your request was too large for this server.',
  416: 'The Range requested is not available.',
  417: 'The server cannot meet the Expect header of the request.',
  422: 'Unable to process the contained instructions',
  429: 'Too many requests; try again later.',
  431: 'The headers of the request are too long.',
  499: 'The client was disconnected during request.',
  500: 'The server has either erred or is incapable of performing the requested operation.',
  501: 'The requested method is not implemented by this server.',
  503: 'The server is currently unavailable. Please try again at a later time.',
  507: 'There was not enough space to save the resource.',
}

const reasons: Readonly<Record<number, string>> = {
  413: 'Request Entity Too Large',
  416: 'Requested Range Not Satisfiable',
  499: 'Client Disconnect',
  500: 'Internal Error',
}

/** The standard page of a status. */
export function statusPage(status: number): string {
  const reason = reasons[status] ?? STATUS_CODES[status] ?? 'Error'
  return `<html><h1>${reason}</h1><p>${explanations[status] ?? ''}</p></html>`
}

/** The same in plain text. */
export function statusText(status: number): string {
  const reason = reasons[status] ?? STATUS_CODES[status] ?? 'Error'
  return `${reason}\n${explanations[status] ?? ''}`
}

/** Statuses of which the core's words say more than the standard page. */
const worthWording = new Set([400, 413, 429, 501, 503, 507])

/** An error that comes from elsewhere than a handler of this API. */
export function renderSwiftError(status: number, message: string): { contentType: string; body: string } {
  return worthWording.has(status)
    ? { contentType: 'text/plain; charset=UTF-8', body: message }
    : { contentType: 'text/html; charset=UTF-8', body: statusPage(status) }
}

export function swiftErrorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof SwiftError) return sendSwiftError(reply, error)
  const { status, message } = describeError(error, request)
  return sendSwiftError(reply, new SwiftError(status, worthWording.has(status) ? message : undefined))
}

function sendSwiftError(reply: FastifyReply, error: SwiftError): FastifyReply {
  // What the handler had set already describes an answer that is not given.
  for (const name of ['content-length', 'content-range', 'last-modified', 'etag']) void reply.removeHeader(name)
  void reply.code(error.status).headers(error.headers)
  // 304 has no body, and a Content-Type there would be taken for the object's.
  if (error.status === 304) return reply.send()
  return error.text === undefined
    ? reply.type('text/html; charset=UTF-8').send(statusPage(error.status))
    : reply.type(error.headers['content-type'] ?? 'text/plain; charset=UTF-8').send(error.text)
}

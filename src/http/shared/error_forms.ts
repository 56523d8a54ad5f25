/**
 * Errors that no handler of an API has its hands on: unknown paths, bytes that are not HTTP. They have the form of the API that
 * the path belongs to.
 */

import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Api, apiOf, type HttpError, type RenderedError } from './api.js'
import { describeError } from './errors.js'

export class ErrorForms {
  readonly #apis: readonly Api[]

  constructor(apis: readonly Api[]) {
    this.#apis = apis
  }

  /** `url`: the request target; undefined if it is unknown. `accept`: the Accept header. */
  render(error: HttpError, url: string | undefined, accept?: string): RenderedError {
    return apiOf(this.#apis, url).renderError(error, accept)
  }

  /** The error handler of everything outside the plugins of the APIs. */
  send(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const described = describeError(error, request)
    const { contentType, body } = this.render(described, request.originalUrl, request.headers.accept)
    return reply.code(described.status).type(contentType).send(body)
  }

  /** A whole response, for a connection that ends with it. */
  rawResponse(error: HttpError, url: string | undefined, headers: Record<string, string> = {}): string {
    const { contentType, body } = this.render(error, url)
    const lines = Object.entries({
      ...headers,
      'content-type': contentType,
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
    }).map(([name, value]) => `${name}: ${value}\r\n`)
    return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`
  }
}

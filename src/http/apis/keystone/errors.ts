/** Errors as Keystone writes them: `{"error": {"code", "title", "message"}}`. */

import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { baseUrl, type UrlSettings } from '../../shared/base_url.js'
import { describeError } from '../../shared/errors.js'

function keystoneErrorBody(status: number, message: string) {
  return { error: { code: status, title: STATUS_CODES[status] ?? 'Error', message } }
}

export function renderKeystoneError(status: number, message: string): { contentType: string; body: string } {
  return { contentType: 'application/json; charset=utf-8', body: JSON.stringify(keystoneErrorBody(status, message)) }
}

export function keystoneErrorHandler(urls: UrlSettings) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { status, message } = describeError(error, request)
    // Clients learn from this header where to log in (RFC 9110, 11.6.1).
    if (status === 401) void reply.header('www-authenticate', `Keystone uri="${baseUrl(request, urls)}/v3"`)
    return reply.code(status).send(keystoneErrorBody(status, message))
  }
}

/** The errors of HTTP itself, and how any error is told to a client. Each API puts the outcome into its own format. */

import type { FastifyRequest } from 'fastify'
import { AtollError, defineError } from '../lib/errors.js'

export const Unauthorized = defineError('unauthorized', 401, 'The request you have made requires authentication.')
export const Forbidden = defineError('forbidden', 403, 'You are not authorized to do this: %s')
export const BodyTooLarge = defineError('body_too_large', 413, 'the request body is longer than %s bytes')
export const BodyTooSlow = defineError('body_too_slow', 408, 'the request body did not arrive in time')
export const MalformedBody = defineError('malformed_body', 400, '%s')
export const ClientGone = defineError('client_gone', 499, 'the client disconnected before its request was complete')
export const NotServed = defineError('not_served', 501, '%s is not served by this version of Atoll')

export interface ErrorDescription {
  status: number
  /** Stable, for programs. */
  code: string
  /** For people; says nothing about our insides. */
  message: string
}

/** Logs what is our own fault; the client learns nothing of it but the request id. */
export function describeError(error: unknown, request: FastifyRequest): ErrorDescription {
  if (error instanceof AtollError && error.status < 500) {
    return { status: error.status, code: error.code, message: error.message }
  }
  if (error instanceof AtollError && (error.status === 501 || error.status === 507 || error.status === 503)) {
    request.log.warn({ err: error }, 'request failed')
    return { status: error.status, code: error.code, message: error.message }
  }
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return { status, code: 'bad_request', message: (error as Error).message }
  }
  request.log.error({ err: error }, 'internal error')
  return { status: 500, code: 'internal', message: 'The server has an internal error; its log knows more.' }
}

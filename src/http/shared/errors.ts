/** The errors of HTTP itself, and how any error is told to a client. Each API puts the outcome into its own format. */

import type { FastifyRequest } from 'fastify'
import { StorageFailed, withoutDetail } from '../../addon/errors.js'
import { CatalogAway, CatalogFailed } from '../../catalog/errors.js'
import { AtollError, defineError } from '../../lib/errors.js'

export const Unauthorized = defineError('unauthorized', 401, 'The request you have made requires authentication')
export const Forbidden = defineError('forbidden', 403, 'You are not authorized to do this: %s')
export const NoSuchPath = defineError('no_such_path', 404, 'There is nothing at this URL')
export const TokenNotFound = defineError('token_not_found', 404, 'Could not find the token')
export const TagNotFound = defineError('tag_not_found', 404, 'the project does not have this tag')
export const BodyTooLarge = defineError('body_too_large', 413, 'the request body is longer than %s bytes')
export const BodyTooSlow = defineError('body_too_slow', 408, 'the request body did not arrive in time')
export const TooManyUploads = defineError('too_many_uploads', 503, 'too many uploads are running; try again')
export const TooManyAnswers = defineError(
  'too_many_answers',
  503,
  'too many answers of this project are being made or have not been read; read them, or try again',
)
export const TooManyBodies = defineError(
  'too_many_bodies',
  503,
  'too many long request bodies of this project are being received; try again',
)
export const UploadDisplaced = defineError(
  'upload_displaced',
  503,
  'the upload was ended for one of a project that had none, because all places were taken; try again',
)
export const ServerBusy = defineError('server_busy', 503, 'all connections of the server are busy; try again')
export const NotReady = defineError('not_ready', 503, 'the server is starting; try again')
export const MalformedBody = defineError('malformed_body', 400, '%s')
export const TooManyAttempts = defineError('too_many_attempts', 429, 'too many failed logins; wait a minute')
/** Nobody is left to read the answer; the status is what the log shows. */
export const ClientGone = defineError('client_gone', 499, 'the client disconnected before its request was complete')
export const BadParameter = defineError('bad_parameter', 400, '%s')
export const MalformedQuery = defineError('malformed_query', 400, 'expected a query of percent-encoded UTF-8')
export const HostMissing = defineError('host_missing', 400, 'expected a Host header')
export const MethodNotServed = defineError('method_not_served', 405, 'the method %s is not served here')
export const ExpectationFailed = defineError('expectation_failed', 417, 'the only expectation is 100-continue')
export const ServerClosing = defineError('server_closing', 503, 'the server is shutting down; try again')
/**
 * A feature of an API. Not 5xx: clients repeat those (python-swiftclient for half a minute). Not 404 either: to the client of a
 * DELETE it would mean that the resource is gone.
 */
export const Unsupported = defineError('not_served', 400, 'Atoll does not support %s')
/** RFC 9112, 6.1, names the status. */
export const TransferEncodingUnsupported = defineError(
  'transfer_encoding_unsupported',
  501,
  'expected the transfer encoding "chunked" in HTTP/1.1, got %s',
)

export interface ErrorDescription {
  status: number
  /** Stable, for programs. */
  code: string
  /** For people; says nothing about our insides. */
  message: string
}

/** Logs what is our own fault; of that the client learns whether the storage is to blame, and the request id. */
export function describeError(error: unknown, request: FastifyRequest): ErrorDescription {
  if (error instanceof StorageFailed || error instanceof CatalogFailed) {
    request.log.error({ err: error }, 'the storage failed')
    return { status: 503, code: error.code, message: 'The storage of this server has failed; its log says how.' }
  }
  if (error instanceof CatalogAway) {
    request.log.warn({ err: error }, 'the database of the catalog cannot be reached')
    return {
      status: error.status,
      code: error.code,
      message: 'The catalog of this server cannot be reached; try again.',
    }
  }
  if (error instanceof AtollError && error.status !== 500) {
    const publicMessage = withoutDetail(error)
    if (error.status > 501 || publicMessage !== undefined) request.log.warn({ err: error }, 'request refused')
    return { status: error.status, code: error.code, message: publicMessage ?? error.message }
  }
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return { status, code: 'bad_request', message: (error as Error).message }
  }
  request.log.error({ err: error }, 'internal error')
  return { status: 500, code: 'internal', message: 'The server has an internal error; its log knows more.' }
}

/**
 * Errors that no handler of an API has its hands on: paths that are none, requests that are no HTTP. They are told in the form
 * of the API that the path belongs to.
 */

import { STATUS_CODES } from 'node:http'
import { faultBody } from './apis/cinder/errors.js'
import { renderFault } from './apis/glance/errors.js'
import { keystoneErrorBody } from './apis/keystone/errors.js'
import { renderSwiftError } from './apis/swift/errors.js'
import { isObjectStorage } from './shared/request_id.js'

export interface HttpError {
  status: number
  message: string
}

export interface RenderedError {
  contentType: string
  body: string
}

/** `url`: the request target; undefined when it is not known. `accept`: the Accept header. */
export function renderError(error: HttpError, url: string | undefined, accept?: string): RenderedError {
  const { status, message } = error
  if (url !== undefined && isObjectStorage(url)) return renderSwiftError(status, message)
  if (url !== undefined && isBelow(url, '/image')) return renderFault(status, message, accept)
  const body =
    url !== undefined && isBelow(url, '/volume') ? faultBody(status, message) : keystoneErrorBody(status, message)
  return { contentType: 'application/json; charset=utf-8', body: JSON.stringify(body) }
}

/** A whole answer, for a connection that ends with it. */
export function rawAnswer(error: HttpError, url: string | undefined, headers: Record<string, string> = {}): string {
  const { contentType, body } = renderError(error, url)
  const lines = Object.entries({
    ...headers,
    'content-type': contentType,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`
}

function isBelow(url: string, path: string): boolean {
  return url.startsWith(path) && (url.length === path.length || url[path.length] === '/' || url[path.length] === '?')
}

/**
 * What Node refuses by itself: bytes that are not HTTP, heads that are too long or arrive too slowly, CONNECT. The response has the
 * form of the API that the path belongs to, as far as the path is known, and is sent after the responses to earlier requests on
 * the connection: between their bytes it would be taken for a part of them.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { HttpError } from './api.js'
import type { ErrorForms } from './error_forms.js'
import { afterAnswers, lastUrl } from './request_order.js'

/** An error of Node's parser (llhttp, `HPE_*`). */
interface ParserError extends Error {
  code?: string
  reason?: string
  bytesParsed?: number
  rawPacket?: Buffer
}

const refusing = new WeakSet<Socket>()

/** Returns Fastify's `clientErrorHandler`. */
export function parserErrorHandler(forms: ErrorForms) {
  return function refuse(this: { log: FastifyBaseLogger }, cause: Error, socket: Socket): void {
    const error: ParserError = cause
    if (error.code === 'ECONNRESET' || socket.destroyed || refusing.has(socket)) return
    refusing.add(socket)
    this.log.debug({ err: error }, 'a request is not HTTP')
    // Whatever else the client sends cannot be understood any more.
    socket.pause()
    const path = pathOfParserError(error)
    // A request that never ended leaves no bytes to look at: a client uses one API on one connection.
    const response = forms.rawResponse(describe(error, path), path ?? lastUrl(socket))
    afterAnswers(socket, () => {
      // After the head of another response it would be taken for a part of that one.
      if (socket.writable && !hasBegunAnswer(socket)) socket.write(response)
      socket.destroySoon()
    })
  }
}

/** Checks what Node itself checks. */
function hasBegunAnswer(socket: Socket): boolean {
  return (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage?.headersSent === true
}

/** Refuses CONNECT. */
export function refuseTunnels(app: FastifyInstance, forms: ErrorForms): void {
  ;(app.server as Server).on('connect', (_request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {}) // the client hung up
    const refusal = { status: 405, message: 'The method CONNECT is not served.' }
    socket.end(forms.rawResponse(refusal, undefined, { allow: 'GET, HEAD, PUT, POST, PATCH, DELETE' }))
  })
}

function describe({ code, reason = '' }: ParserError, path: string | undefined): HttpError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return { status: 408, message: 'The request did not arrive in time.' }
  if (code === 'HPE_HEADER_OVERFLOW') return { status: 431, message: 'The headers of the request are too long.' }
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW') return { status: 413, message: 'The chunk extensions are too long.' }
  // Without a path it is not a request line at all.
  if (code === 'HPE_INVALID_METHOD' && path !== undefined) return { status: 405, message: 'The method is not served.' }
  if (code === 'HPE_INVALID_TRANSFER_ENCODING' && !reason.includes('Content-Length'))
    return { status: 501, message: 'The only transfer encoding is chunked.' }
  return { status: 400, message: `The request is not valid HTTP${reason === '' ? '' : `: ${reason}`}.` }
}

const packetBytesMax = 64 << 10
const requestLine = /^[!-~]{1,64} (\/[!-~]*) HTTP\/\d\.\d$/

/** Returns the path in the request line of the failed bytes; undefined if the line arrived in earlier bytes. */
export function pathOfParserError({
  rawPacket,
  bytesParsed = 0,
}: Pick<ParserError, 'rawPacket' | 'bytesParsed'>): string | undefined {
  const text = rawPacket?.subarray(0, packetBytesMax).toString('latin1') ?? ''
  // Parsing stopped within the request line or after it.
  const here = text.lastIndexOf('\n', Math.max(0, bytesParsed - 1)) + 1
  const before = text.lastIndexOf(' HTTP/', bytesParsed)
  for (const start of [here, before < 0 ? here : text.lastIndexOf('\n', before) + 1]) {
    const end = text.indexOf('\n', start)
    const line = text.slice(start, end < 0 ? undefined : end).trimEnd()
    const path = requestLine.exec(line)?.[1]
    if (path !== undefined) return path
  }
  return undefined
}

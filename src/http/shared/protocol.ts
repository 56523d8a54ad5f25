/** What HTTP/1.1 asks of a request before it reaches a handler, refused by the API that its path belongs to. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ExpectationFailed, HostMissing, MalformedQuery, ServerClosing, TransferEncodingUnsupported } from './errors.js'
import { isMalformed } from './query.js'

const unmetExpectations = new WeakSet<IncomingMessage>()

/** To be called before any route is added. */
export function requireProtocol(app: FastifyInstance): void {
  ;(app.server as Server).on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    unmetExpectations.add(request)
    app.server.emit('request', request, response)
  })
  let closing = false
  app.addHook('preClose', (done) => {
    closing = true
    done()
  })
  app.addHook('onRequest', (request, reply, done) => {
    try {
      check(request, reply, closing)
      done()
    } catch (error) {
      done(error as Error)
    }
  })
}

function check(request: FastifyRequest, reply: FastifyReply, closing: boolean): void {
  const { raw } = request
  const { host, 'transfer-encoding': coding } = raw.headers
  if (coding !== undefined) requireChunked(raw, reply, coding)
  // RFC 9112, 3.2.
  if (host === undefined && raw.httpVersion === '1.1') throw endingWith(reply, new HostMissing())
  if (unmetExpectations.has(raw)) throw endingWith(reply, new ExpectationFailed())
  if (isMalformed(request.query)) throw new MalformedQuery()
  if (closing) {
    void reply.header('retry-after', 5)
    throw endingWith(reply, new ServerClosing())
  }
}

/** A body in another coding would be stored as it was sent, which is not what the client means by it (RFC 9112, 6.1). */
function requireChunked(raw: IncomingMessage, reply: FastifyReply, coding: string): void {
  if (coding.trim().toLowerCase() !== 'chunked')
    throw endingWith(reply, new TransferEncodingUnsupported(`"${coding.slice(0, 64)}"`))
  if (raw.httpVersion === '1.0') throw endingWith(reply, new TransferEncodingUnsupported('one in HTTP/1.0'))
}

/** Where the body ends is not certain, or the client does not know what it may send next. */
function endingWith<Failure>(reply: FastifyReply, error: Failure): Failure {
  void reply.header('connection', 'close')
  return error
}

/**
 * Answers that are given before the request's body was read (refusals, mostly).
 *
 * A client that asked `Expect: 100-continue` and got a final answer instead may or may not send the body after all: the
 * connection cannot be used again and is closed (RFC 9110, 10.1.1). Other clients are in the middle of sending; closing
 * at once would reset the connection and lose the answer, so what they send is thrown away for a bounded time.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

const lingerMs = 30_000
const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>()

export function handleUnreadBodies(app: FastifyInstance): void {
  app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    awaitingContinue.set(request, response)
    app.server.emit('request', request, response)
  })

  app.addHook('onSend', (request, reply, payload, done) => {
    if (awaitingContinue.has(request.raw)) void reply.header('connection', 'close')
    done(null, payload)
  })

  app.addHook('onResponse', (request, _reply, done) => {
    const { raw } = request
    if (!raw.complete && !raw.destroyed) throwAway(raw)
    done()
  })
}

function throwAway(raw: IncomingMessage): void {
  // Node does this by itself only for a body of which nothing was read.
  raw.resume()
  const linger = setTimeout(() => raw.socket.destroy(), lingerMs).unref()
  raw.once('close', () => clearTimeout(linger))
}

/** To be called before the first byte of a body is waited for. */
export function sendContinue(request: IncomingMessage): void {
  const response = awaitingContinue.get(request)
  if (response === undefined) return
  awaitingContinue.delete(request)
  response.writeContinue()
}

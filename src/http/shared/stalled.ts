/**
 * Clients that stop: a sender that sends no more of its body, a reader that reads no more of its answer. Either is cut
 * off after a time without a byte in either direction. A request that waits for *us* (its body complete, its answer not
 * begun) is left alone, however long an fsync takes.
 *
 * Node's clock does not see the bytes that are sent past it (direct_body.ts): of those the sender itself is asked.
 */

import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { directBodyOf } from './direct_body.js'

export function cutStalledConnections(app: FastifyInstance, idleMs: number): void {
  const server = app.server as Server
  // With a listener on every response Node leaves the decision to it; a connection between two requests is ended by
  // keepAliveTimeout, one that never sends its headers by headersTimeout.
  server.setTimeout(idleMs)
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.on('timeout', (socket: Socket) => {
      const direct = directBodyOf(reply.raw)
      if (direct !== undefined) lookAgain(socket, reply.raw, idleMs - direct.waitedMs())
      else if (!request.raw.complete || hasUnsentBytes(reply.raw, socket)) socket.destroy()
    })
    done()
  })
}

function hasUnsentBytes(response: ServerResponse, socket: Socket): boolean {
  return response.writableLength > 0 || socket.writableLength > 0
}

/** Its client has `leftMs` to take the next byte. */
function lookAgain(socket: Socket, response: ServerResponse, leftMs: number): void {
  if (leftMs <= 0) {
    socket.destroy()
    return
  }
  const { timeout = 0 } = socket
  socket.setTimeout(leftMs)
  response.once('finish', () => socket.setTimeout(timeout))
}

/** What metrics are told of each request: which API, how it ended, how long it took, and its bytes. */

import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Api, apiOf } from './api.js'

export interface AnswerReport {
  /** `health` for the health check. */
  api: string
  /** `other` for a method that no API has. */
  method: string
  status: number
  seconds: number
  /** On the connection since its last answer, headers included. */
  receivedBytes: number
  sentBytes: number
}

// A method is the client's own text: unknown ones would make any number of time series.
const methods = new Set(['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'COPY', 'OPTIONS'])

interface Seen {
  received: number
  sent: number
}

export function reportAnswers(
  app: FastifyInstance,
  apis: readonly Api[],
  report: (answer: AnswerReport) => void,
): void {
  const connections = new WeakMap<Socket, Seen>()
  app.addHook('onResponse', (request: FastifyRequest, reply: FastifyReply, done) => {
    const socket = request.raw.socket
    const before = connections.get(socket) ?? { received: 0, sent: 0 }
    const now = { received: socket.bytesRead, sent: socket.bytesWritten }
    connections.set(socket, now)
    const url = request.originalUrl
    report({
      api: url === '/healthcheck' ? 'health' : apiOf(apis, url).name,
      method: methods.has(request.method) ? request.method : 'other',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
      receivedBytes: now.received - before.received,
      sentBytes: now.sent - before.sent,
    })
    done()
  })
}

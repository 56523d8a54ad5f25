/**
 * Requests that a client pipelines on one connection take effect one after the other, in the order in which they were sent
 * (RFC 9112, 9.3.2). Node emits each as soon as its head is parsed, with the ones before it still being answered, and orders
 * only the answers.
 *
 * Invariants
 *   1. A request is handed on when the answer to the one before it is complete.
 *   2. While one waits, nothing more is read from its connection, so that a client cannot pile up requests. What one read
 *      brought is bounded by `waitingMax`: the answer to the last one that is kept closes the connection, as HTTP allows.
 *   3. What waits when the connection ends never takes effect.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Requests that may wait for the ones before them, on one connection. */
const waitingMax = 64

interface Line {
  /** The answer to the request that was handed on last. */
  current: ServerResponse
  readonly waiting: [IncomingMessage, ServerResponse][]
  full: boolean
}

const lines = new WeakMap<Socket, Line>()

/** To be called when Fastify has made its server, and before it listens. */
export function keepRequestsInOrder(app: FastifyInstance): void {
  const { server } = app
  for (const listener of server.listeners('request') as RequestListener[]) {
    server.off('request', listener)
    server.on('request', inOrder(listener))
  }
}

/** Of the request of this connection that was handed on last; undefined: there was none. */
export function lastUrl(socket: Socket): string | undefined {
  return lines.get(socket)?.current.req.url
}

/**
 * Calls `done` when every request that came before has been answered; never, when the connection ends before. At once, when the
 * last of them is without its end: its handler waits for a body that does not come.
 */
export function afterAnswers(socket: Socket, done: () => void): void {
  const line = lines.get(socket)
  const last = line?.waiting.at(-1)?.[1] ?? line?.current
  if (last === undefined || isComplete(last) || !last.req.complete) done()
  else last.once('finish', done)
}

function inOrder(handle: RequestListener): RequestListener {
  return (request, response) => {
    const { socket } = request
    const line = lines.get(socket)
    if (line === undefined) {
      lines.set(socket, { current: response, waiting: [], full: false })
      handle(request, response)
    } else if (line.waiting.length === 0 && isComplete(line.current)) {
      line.current = response
      handle(request, response)
    } else wait(line, request, response, handle)
  }
}

function wait(line: Line, request: IncomingMessage, response: ServerResponse, handle: RequestListener): void {
  if (line.full) return
  const { socket } = request
  socket.pause()
  if (line.waiting.push([request, response]) === 1) line.current.once('close', () => advance(line, socket, handle))
  if (line.waiting.length < waitingMax) return
  line.full = true
  response.shouldKeepAlive = false
}

function advance(line: Line, socket: Socket, handle: RequestListener): void {
  const [request, response] = socket.destroyed ? [] : (line.waiting.shift() ?? [])
  if (request === undefined || response === undefined) {
    line.waiting.length = 0
    return
  }
  line.current = response
  if (line.waiting.length > 0) response.once('close', () => advance(line, socket, handle))
  else socket.resume()
  handle(request, response)
}

/** All of it is with the kernel, or its connection has ended. */
const isComplete = (response: ServerResponse): boolean => response.writableFinished || response.destroyed

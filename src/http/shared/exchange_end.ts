/**
 * The end of a request: its answer has been sent, or its connection is gone. Node emits no 'close' on an answer that still waits behind
 * others of its connection when that ends, so the socket is watched too, by one listener for all of its requests.
 */

import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

const endsOf = new WeakMap<Socket, Set<() => void>>()

/** Calls `end` once. */
export function onExchangeEnd(
  { raw: request }: FastifyRequest,
  { raw: response }: FastifyReply,
  end: () => void,
): void {
  const { socket } = request
  if (socket.closed || response.closed) {
    end()
    return
  }
  const ends = watched(socket)
  const once = () => {
    if (ends.delete(once)) end()
  }
  ends.add(once)
  response.once('close', once)
}

function watched(socket: Socket): Set<() => void> {
  const known = endsOf.get(socket)
  if (known !== undefined) return known
  const ends = new Set<() => void>()
  endsOf.set(socket, ends)
  socket.once('close', () => {
    for (const end of [...ends]) end()
  })
  return ends
}

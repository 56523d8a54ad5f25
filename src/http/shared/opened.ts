/**
 * Answers from what was opened for them. Whatever becomes of one (sent, refused, given up by a client that left while it was
 * being made), what was opened is closed, once.
 */

import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { OpenData } from '../../core/tree/open_data.js'
import { ClientGone } from './errors.js'

/** Sends what `answer` makes; a stream keeps the data open until it has closed. */
export function sendOpened(open: OpenData, reply: FastifyReply, answer: () => Readable | Buffer): FastifyReply {
  try {
    // The connection may have ended while the data was being opened: nobody is there to take a stream, or to close it.
    if (reply.raw.destroyed) throw new ClientGone()
    const bytes = answer()
    if (Buffer.isBuffer(bytes)) open.close()
    // After the end, after an error, and when the client hangs up before the first byte.
    else bytes.once('close', () => open.close())
    return reply.send(bytes)
  } catch (error) {
    open.close()
    throw error
  }
}

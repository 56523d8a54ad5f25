/**
 * Answers of any length, made in pieces: each piece takes a turn (loop_turns.ts), and is made only when the client has read those before
 * it. A short answer is sent as a whole, with its length. While the server makes and sends a longer one it holds one piece of it.
 */

import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { asError } from '../../lib/errors.js'
import { TooManyAnswers } from './errors.js'
import { onExchangeEnd } from './exchange_end.js'
import { ownerOf, takeAnswer } from './fairness.js'

/** What an answer counts for: its beginning, or a piece and its bytes. */
const answerBytes = 256 << 10
/** What is shorter is sent as a whole. */
const wholeLengthMax = 96 << 10
/** Of one owner; they hold their request only. */
const waitingMax = 256

/**
 * Sends the pieces, one after the other; 204 when there is not a single character. What is thrown before the first piece becomes
 * an error answer, what is thrown later ends the connection. Throws TooManyAnswers.
 */
export async function sendPieces(
  request: FastifyRequest,
  reply: FastifyReply,
  pieces: AsyncGenerator<string, void, void>,
): Promise<FastifyReply> {
  const owner = ownerOf(request)
  const { fairness, work: inFlight } = request.server
  if (fairness.turns.waitingOf(owner) >= waitingMax) throw new TooManyAnswers()
  const work = fairness.turns.begin(owner)
  await work.turn()
  const share = takeAnswer(request, reply, answerBytes)
  if (share === undefined) throw new TooManyAnswers()
  const next = async (): Promise<string | null> => {
    for (;;) {
      const { value: piece, done } = await pieces.next()
      if (done || piece === undefined) {
        work.made(0)
        return null
      }
      // The text and its bytes; a single entry of a list may be longer than pieces usually are.
      share.set(Math.max(answerBytes, 2 * Buffer.byteLength(piece)))
      work.made(piece.length)
      if (piece !== '') return piece
      await work.turn()
    }
  }

  let beginning = ''
  while (beginning.length < wholeLengthMax) {
    if (beginning !== '') await work.turn()
    const piece = await next()
    if (piece === null) return beginning === '' ? reply.code(204).send() : reply.send(beginning)
    beginning += piece
  }
  const stream = new PieceStream(beginning, next, () => work.turn())
  stream.once('error', (err) =>
    request.log.error({ err }, 'the server could not complete an answer and closes its connection'),
  )
  onExchangeEnd(request, reply, () => stream.destroy())
  const closed = new Promise((resolve) => stream.once('close', resolve)).then(() => pieces.return())
  void inFlight.track(closed)
  return reply.send(stream)
}

/** Makes no piece before the one in front of it has been taken, and keeps none (a `Readable.from` reads ahead). */
class PieceStream extends Readable {
  #beginning: string | undefined
  readonly #next: () => Promise<string | null>
  readonly #turn: () => Promise<void>

  constructor(beginning: string, next: () => Promise<string | null>, turn: () => Promise<void>) {
    super({ highWaterMark: 0 })
    this.#beginning = beginning
    this.#next = next
    this.#turn = turn
  }

  override _read(): void {
    const beginning = this.#beginning
    this.#beginning = undefined
    if (beginning !== undefined) this.push(beginning)
    else
      this.#turn()
        .then(() => this.#next())
        .then(
          (piece) => this.push(piece),
          (error: unknown) => this.destroy(asError(error)),
        )
  }
}

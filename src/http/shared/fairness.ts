/**
 * What keeps one tenant from taking the memory and the time of all others: a budget of memory for answers that their clients have not read
 * yet, another one for JSON bodies, and turns for long work.
 *
 * An answer counts from before it is made until it has been read, or its connection has ended; a client that reads nothing is cut off
 * (stalled.ts), which gives its share back. Short answers count only where they wait behind others of their connection: otherwise there
 * is one for each connection, and those are limited.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TooManyAnswers, TooManyBodies } from './errors.js'
import { onExchangeEnd } from './exchange_end.js'
import { LoopTurns } from './loop_turns.js'
import { type Share, SharedBudget } from './shared_budget.js'

interface FairnessLimits {
  /** Bytes of answers that clients have not read yet. */
  answerBytes: number
  /** Bytes for JSON bodies that are being received or worked on. */
  bodyBytes: number
}

export class Fairness {
  readonly answers: SharedBudget
  readonly bodies: SharedBudget
  readonly turns = new LoopTurns()

  constructor(limits: FairnessLimits) {
    this.answers = new SharedBudget(limits.answerBytes)
    this.bodies = new SharedBudget(limits.bodyBytes)
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    fairness: Fairness
  }
}

const retryAfterSeconds = 5
const smallAnswerLength = 16 << 10
/** What an answer takes beside its text. */
const answerOverheadBytes = 2 << 10

export function shareFairly(app: FastifyInstance, limits: FairnessLimits): void {
  const fairness = new Fairness(limits)
  app.decorate('fairness', fairness)
  app.addHook('onError', (_request, reply, error: unknown, done) => {
    if (error instanceof TooManyAnswers || error instanceof TooManyBodies)
      void reply.header('retry-after', retryAfterSeconds)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    bodies.get(request)?.release()
    const queued = reply.raw.socket === null
    const text = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : ''
    if ((text.length <= smallAnswerLength && !queued) || counted.has(reply)) return done(null, payload)
    const bytes = Buffer.byteLength(text) + answerOverheadBytes
    // What has been done cannot be refused any more, and neither can a refusal.
    const refusable = (request.method === 'GET' || request.method === 'HEAD') && reply.statusCode < 400
    if (!refusable) count(request, reply, fairness.answers.hold(ownerOf(request), bytes))
    else if (takeAnswer(request, reply, bytes) === undefined) return done(new TooManyAnswers())
    done(null, payload)
  })
}

/** Whom a request counts for: its project; a user without one; without a valid token, the address it comes from. */
export function ownerOf({ caller, ip }: FastifyRequest): string {
  return caller?.project?.id ?? caller?.user.id ?? ip
}

/** Of requests that have not been answered yet. */
const bodies = new WeakMap<FastifyRequest, Share>()

/** Memory for the body of the request, until it is answered. Throws TooManyBodies. */
export function takeBody(request: FastifyRequest, bytes: number): void {
  const share = request.server.fairness.bodies.take(ownerOf(request), bytes)
  if (share === undefined) throw new TooManyBodies()
  bodies.set(request, share)
}

const counted = new WeakSet<FastifyReply>()

function count(request: FastifyRequest, reply: FastifyReply, share: Share): Share {
  counted.add(reply)
  onExchangeEnd(request, reply, () => share.release())
  return share
}

/** Memory for an answer, until it has been read. Returns undefined when the owner has too many unread answers already. */
export function takeAnswer(request: FastifyRequest, reply: FastifyReply, bytes: number): Share | undefined {
  const share = request.server.fairness.answers.take(ownerOf(request), bytes)
  return share && count(request, reply, share)
}

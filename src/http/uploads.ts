/**
 * Uploads: how many there may be at one time, and how slow. Each holds a piece of what it is made of in memory (up to 4 MiB
 * while it stands, four times that at full speed), and clients decide how long one takes; so
 *
 * * no more than a number of them is taken at one time, from one project no more than half of it: further ones are answered
 *   503 with Retry-After before any of their bodies is read;
 * * one that brings less than a rate, over as long as a client may stand still, is answered 408. Only the time counts in which
 *   we wait for the client.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NotAllowed, TokenInvalid } from '../core/errors.js'
import type { ByteFeed } from '../core/records.js'
import { requireProject } from './auth.js'
import { bodyFeed } from './body.js'
import { BodyTooSlow, TooManyUploads } from './errors.js'

export interface UploadLimits {
  /** Uploads at one time. */
  count: number
  /** The least that a client brings; 0: any rate will do. */
  bytesPerSecond: number
  /** For how long it may bring less. */
  idleMs: number
}

declare module 'fastify' {
  interface FastifyInstance {
    uploads: Uploads
  }
}

export function limitUploads(app: FastifyInstance, limits: UploadLimits): void {
  app.decorate('uploads', new Uploads(limits))
}

const retryAfterSeconds = 5

export class Uploads {
  readonly #limits: UploadLimits
  readonly #shareOfProject: number
  #running = 0
  readonly #runningOfProject = new Map<string, number>()

  constructor(limits: UploadLimits) {
    this.#limits = limits
    this.#shareOfProject = Math.ceil(limits.count / 2)
  }

  /** Calls `store` with the body of the request. It may read all of it, some of it or nothing; until it is done, an upload runs. */
  async receive<T>(request: FastifyRequest, reply: FastifyReply, store: (body: ByteFeed) => Promise<T>): Promise<T> {
    const { id } = requireProject(request).project
    const ofProject = this.#runningOfProject.get(id) ?? 0
    if (this.#running >= this.#limits.count || ofProject >= this.#shareOfProject) {
      void reply.header('retry-after', retryAfterSeconds)
      throw new TooManyUploads()
    }
    this.#running++
    this.#runningOfProject.set(id, ofProject + 1)
    try {
      return await store(bodyFeed(request, new Pace(this.#limits)))
    } catch (error) {
      // What else it sends is not waited for.
      if (error instanceof BodyTooSlow || error instanceof TokenInvalid || error instanceof NotAllowed)
        void reply.header('connection', 'close')
      throw error
    } finally {
      this.#running--
      const left = (this.#runningOfProject.get(id) ?? 1) - 1
      if (left > 0) this.#runningOfProject.set(id, left)
      else this.#runningOfProject.delete(id)
    }
  }
}

/** A client's patience account: waiting for it takes from it, each byte gives to it, and it holds no more than `idleMs`. */
export class Pace {
  readonly #idleMs: number
  readonly #msPerByte: number
  #leftMs: number
  /** Since when we wait for the client; undefined: it waits for us. */
  #since: number | undefined
  #timer: NodeJS.Timeout | undefined
  #tooSlow: (() => void) | undefined

  constructor({ bytesPerSecond, idleMs }: Pick<UploadLimits, 'bytesPerSecond' | 'idleMs'>) {
    this.#idleMs = idleMs
    this.#msPerByte = bytesPerSecond > 0 ? 1000 / bytesPerSecond : Number.POSITIVE_INFINITY
    this.#leftMs = idleMs
  }

  /** The client is waited for from now on. Calls `tooSlow`, once, when nothing is left of its time before pause(). */
  wait(tooSlow: () => void): void {
    this.#tooSlow = tooSlow
    this.#since = performance.now()
    this.#timer ??= setTimeout(this.#look, this.#leftMs)
  }

  pause(): void {
    this.#count()
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  arrived(bytes: number): void {
    this.#count()
    this.#leftMs = Math.min(this.#idleMs, this.#leftMs + bytes * this.#msPerByte)
  }

  #count(): void {
    if (this.#since === undefined) return
    const now = performance.now()
    this.#leftMs = Math.max(0, this.#leftMs - (now - this.#since))
    this.#since = now
  }

  // Set for when the time would be up; pieces that arrive give more, and then it is set anew, not at each piece.
  readonly #look = (): void => {
    this.#timer = undefined
    this.#count()
    // A timer may be early by the part of a millisecond that it was rounded off by.
    if (this.#leftMs >= 1) this.#timer = setTimeout(this.#look, this.#leftMs)
    else this.#tooSlow?.()
  }
}

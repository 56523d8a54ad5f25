/**
 * Uploads: how many there may be at one time, and how slow. Each holds a piece of what it is made of in memory (up to 4 MiB
 * while it stands, four times that at full speed), and clients decide how long one takes.
 *
 * * Projects share the places that there are (upload_shares.ts). One that gets none is answered 503 with Retry-After before any of
 *   its body is read, one that loses its place in the middle of it.
 * * An upload that brings less than a rate, over as long as a client may stand still, is answered 408. Only the time counts in which
 *   we wait for the client.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NotAllowed, TokenInvalid } from '../../core/model/errors.js'
import type { ByteFeed } from '../../core/model/records.js'
import { requireProject } from './auth.js'
import { bodyFeed } from './body.js'
import { BodyTooSlow, ClientGone, TooManyUploads, UploadDisplaced } from './errors.js'
import { onExchangeEnd } from './exchange_end.js'
import { type RunningUpload, UploadShares } from './upload_shares.js'

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
  readonly #shares: UploadShares

  constructor(limits: UploadLimits) {
    this.#limits = limits
    this.#shares = new UploadShares(limits.count)
  }

  /** Calls `store` with the body of the request. It may read all of it, some of it or nothing; until it is done, an upload runs. */
  async receive<T>(request: FastifyRequest, reply: FastifyReply, store: (body: ByteFeed) => Promise<T>): Promise<T> {
    const upload = new Upload(requireProject(request).project.id, this.#limits)
    try {
      if (!this.#shares.begin(upload)) throw new TooManyUploads()
      return await store(bodyFeed(request, upload))
    } catch (error) {
      if (error instanceof TooManyUploads || error instanceof UploadDisplaced)
        void reply.header('retry-after', retryAfterSeconds)
      // What else it sends is not waited for.
      const ends = [BodyTooSlow, UploadDisplaced, TokenInvalid, NotAllowed]
      if (ends.some((kind) => error instanceof kind)) void reply.header('connection', 'close')
      throw error
    } finally {
      this.#shares.end(upload)
    }
  }

  /**
   * Calls `store` with something to store that is no body. `signal` aborts when the client is gone, when its rights have ended, and
   * when it has lost its place.
   */
  async work<T>(request: FastifyRequest, reply: FastifyReply, store: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const ending = new AbortController()
    const end = (why: Error) => ending.abort(why)
    const upload = { project: requireProject(request).project.id, bytesPerSecond: Number.POSITIVE_INFINITY, end }
    const stopWatching = request.server.authority.watch(request, end)
    onExchangeEnd(request, reply, () => end(new ClientGone()))
    try {
      if (!this.#shares.begin(upload)) throw new TooManyUploads()
      return await store(ending.signal)
    } catch (error) {
      const why: unknown = ending.signal.aborted ? ending.signal.reason : error
      if (why instanceof TooManyUploads || why instanceof UploadDisplaced)
        void reply.header('retry-after', retryAfterSeconds)
      throw why
    } finally {
      stopWatching()
      this.#shares.end(upload)
    }
  }
}

/** A client's patience account: waiting for it takes from it, each byte gives to it, and it holds no more than `idleMs`. */
export class Pace implements Pick<RunningUpload, 'bytesPerSecond' | 'end'> {
  readonly #idleMs: number
  readonly #msPerByte: number
  #leftMs: number
  /** Since when we wait for the client; undefined: it waits for us. */
  #since: number | undefined
  #timer: NodeJS.Timeout | undefined
  #giveUp: ((why: Error) => void) | undefined
  /** Why nothing more is taken. */
  #ended: Error | undefined
  #bytes = 0
  #waitedMs = 0

  constructor({ bytesPerSecond, idleMs }: Pick<UploadLimits, 'bytesPerSecond' | 'idleMs'>) {
    this.#idleMs = idleMs
    this.#msPerByte = bytesPerSecond > 0 ? 1000 / bytesPerSecond : Number.POSITIVE_INFINITY
    this.#leftMs = idleMs
  }

  /** How much the client brings in the time in which it is waited for. */
  get bytesPerSecond(): number {
    this.#count()
    return this.#waitedMs > 0 ? (1000 * this.#bytes) / this.#waitedMs : 0
  }

  /**
   * The client is waited for from now on. Calls `giveUp` when nothing is left of its time before pause(), or when the upload is ended;
   * perhaps at once.
   */
  wait(giveUp: (why: Error) => void): void {
    if (this.#ended !== undefined) {
      giveUp(this.#ended)
      return
    }
    this.#giveUp = giveUp
    this.#since = performance.now()
    this.#timer ??= setTimeout(this.#look, this.#leftMs)
  }

  pause(): void {
    this.#count()
    this.#since = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** The client is not waited for any more: now, or when that would begin again. A body that is complete by then is stored. */
  end(why: Error): void {
    this.#ended = why
    if (this.#since !== undefined) this.#giveUp?.(why)
  }

  arrived(bytes: number): void {
    this.#count()
    this.#bytes += bytes
    this.#leftMs = Math.min(this.#idleMs, this.#leftMs + bytes * this.#msPerByte)
  }

  #count(): void {
    if (this.#since === undefined) return
    const now = performance.now()
    this.#waitedMs += now - this.#since
    this.#leftMs = Math.max(0, this.#leftMs - (now - this.#since))
    this.#since = now
  }

  // Set for when the time would be up; pieces that arrive give more, and then it is set anew, not at each piece.
  readonly #look = (): void => {
    this.#timer = undefined
    this.#count()
    // A timer may be early by the part of a millisecond that it was rounded off by.
    if (this.#leftMs >= 1) this.#timer = setTimeout(this.#look, this.#leftMs)
    else this.#giveUp?.(new BodyTooSlow())
  }
}

/** What the shares know of an upload. */
class Upload extends Pace {
  constructor(
    readonly project: string,
    limits: UploadLimits,
  ) {
    super(limits)
  }
}

/**
 * Large answers: their bytes go to the socket past JavaScript. Node makes the head; the engine sends it and the body to a duplicate of the
 * socket's descriptor; then Node is told that the answer is complete, and goes on to the next. Where the head has to wait for the
 * answers before it, Node writes it. Node writes nothing to the socket meanwhile: the answers to pipelined requests wait for this one, and its own errors end the connection.
 *
 * To Fastify the body is a stream like any other, which is destroyed when the client hangs up or the server closes its connections.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { Cancelled, isBusy } from '../../addon/errors.js'
import type { ByteRange, DirectData, OpenData, Sending } from '../../core/tree/open_data.js'
import { asError } from '../../lib/errors.js'
import { KiB } from '../../lib/units.js'

/** From here on the way past JavaScript costs less than the one through it (docs/notes/performance.md). */
const directBytesMin = 64 * KiB

const bodies = new WeakMap<ServerResponse, DirectBody>()

/** The body of an answer as long as its bytes are on their way past Node. */
export function directBodyOf(response: ServerResponse): DirectBody | undefined {
  return bodies.get(response)
}

/** The bytes of the range, to be sent as the body of the answer to this request, in the way that suits it. */
export function bytesFor(request: FastifyRequest, open: OpenData, range: ByteRange): Readable {
  const { raw, log } = request
  const large = raw.method === 'GET' && range.end - range.start >= directBytesMin
  const { direct } = open
  const stream = () => open.read(range)
  const plain = large && direct !== undefined && descriptorOf(raw) !== undefined
  const bytes = plain ? new DirectBody(direct, range, stream) : stream()
  // The head is out: all that the client can be told is the end of the connection.
  bytes.once('error', (err) => log.error({ err }, 'an answer was cut short, its bytes cannot be had'))
  return endedWithRights(request, bytes)
}

/** The stream is destroyed when the caller may no longer read: the head is out, so the connection ends. */
export function endedWithRights(request: FastifyRequest, bytes: Readable): Readable {
  const stopWatching = request.server.authority.watch(request, () => bytes.destroy())
  return bytes.once('close', stopWatching)
}

/** Of a plain socket. Not of TLS, nor of what a test injects. */
function descriptorOf({ socket }: IncomingMessage | ServerResponse): number | undefined {
  const { _handle: handle, encrypted } = (socket ?? {}) as Socket & { _handle?: { fd?: unknown }; encrypted?: boolean }
  const fd = handle?.fd
  return encrypted !== true && typeof fd === 'number' && fd >= 0 ? fd : undefined
}

/** What Node knows of a head: what it is, once it is made, and whether it is out. `headersSent` means the first. */
interface Head {
  _header?: string | null
  _headerSent?: boolean
}

const noHead: Head = { _header: null, _headerSent: false }

class DirectBody extends Readable {
  readonly #data: DirectData
  readonly #range: ByteRange
  readonly #otherWay: () => Readable
  #sending: Sending | undefined
  #streaming: Readable | undefined

  /** `otherWay`: through JavaScript. */
  constructor(data: DirectData, range: ByteRange, otherWay: () => Readable) {
    super()
    this.#data = data
    this.#range = range
    this.#otherWay = otherWay
  }

  /** For how long the client has taken nothing of what it is offered. */
  waitedMs(): number {
    return this.#sending?.waitedMs() ?? 0
  }

  override pipe<T extends NodeJS.WritableStream>(to: T): T {
    const response = to as unknown as ServerResponse
    response.writeHead(response.statusCode)
    const head = response as unknown as Head
    if (response.socket?.writableLength === 0 && typeof head._header === 'string' && head._headerSent === false) {
      this.#begin(response, head._header)
      return to
    }
    // Called when the head, and all that was written to the connection before it, is with the kernel. An error destroys the response.
    response.write('', (error) => {
      if (error == null && !this.destroyed) this.#begin(response, '')
    })
    return to
  }

  /** `head`: empty when it is out. */
  #begin(response: ServerResponse, head: string): void {
    try {
      const fd = response.socket?.writableLength === 0 ? descriptorOf(response) : undefined
      if (fd === undefined) this.#stream(response)
      else this.#send(fd, response, head)
    } catch (error) {
      // Not a byte was sent: when there are no more descriptors it can go the other way.
      if (isBusy(error)) this.#stream(response)
      else this.destroy(asError(error))
    }
  }

  #send(fd: number, response: ServerResponse, head: string): void {
    const sending = this.#data.send(fd, head, this.#range, () => descriptorOf(response) === fd)
    this.#sending = sending
    const node = response as unknown as Head
    node._headerSent = true
    bodies.set(response, this)
    sending.sent.then(
      () => {
        bodies.delete(response)
        response.end()
        this.#end()
      },
      (error: unknown) => {
        const gone = error instanceof Cancelled
        // There is no head yet, so the answer can still be another one.
        if (!gone && head !== '' && !sending.began()) Object.assign(node, noHead)
        // To Fastify a stream that is destroyed before its end is a client that hung up.
        this.destroy(gone ? undefined : asError(error))
      },
    )
  }

  #stream(response: ServerResponse): void {
    this.#streaming = this.#otherWay()
    this.#streaming.once('error', (error) => this.destroy(error))
    this.#streaming.once('end', () => this.#end())
    this.#streaming.pipe(response)
  }

  #end(): void {
    this.push(null)
    this.resume()
  }

  override _read(): void {}

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#streaming?.destroy()
    if (this.#sending === undefined) {
      done(error)
      return
    }
    this.#sending.cancel()
    const settled = () => done(error)
    this.#sending.sent.then(settled, settled)
  }
}

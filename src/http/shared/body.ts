/**
 * Request bodies. Fastify parses none (see app.ts): a handler that wants the body takes it from here, as a stream or,
 * bounded in size and time, as JSON.
 */

import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { ByteFeed } from '../../core/model/records.js'
import { BodyTooLarge, BodyTooSlow, ClientGone, MalformedBody } from './errors.js'
import { ownerOf, takeBody } from './fairness.js'
import { nestsTooDeep } from './json_depth.js'
import { sendContinue } from './unread_body.js'

const jsonBytesMax = 1 << 20
const wholeBodyMs = 30_000
/** What is shorter does not count: each connection receives one at a time, and connections are limited. */
const uncountedBytesMax = 16 << 10
/** The bytes, their text, and what it says: what is in it may take several times as much. */
const memoryPerByte = 4

/** Is there a body at all (RFC 9112, 6.3)? */
export function hasBody(request: FastifyRequest): boolean {
  const { headers } = request.raw
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Content-Length in bytes; undefined when the body is chunked or there is no such header. */
export function contentLength(request: FastifyRequest): number | undefined {
  const { headers } = request.raw
  if (headers['transfer-encoding'] !== undefined || headers['content-length'] === undefined) return undefined
  return Number(headers['content-length'])
}

/** How long a body may be waited for: see uploads.ts. */
interface BodyPace {
  /** We wait for the client from now on; `giveUp` is called, perhaps at once, when we do not wait any longer. */
  wait(giveUp: (why: Error) => void): void
  /** The client waits for us. */
  pause(): void
  arrived(bytes: number): void
}

/**
 * The body, pushed as it comes in: each piece is handed on in the turn in which it was read from the socket, and a promise for an answer stops
 * the reading. Nothing is read ahead of the consumer beyond the socket's buffers. Rejects with `ClientGone` when the client
 * disconnects before the body is complete, with what the pace gives up for, with what the authority says when the caller's rights
 * end; whatever it rejects with, the rest is left unread.
 */
export function bodyFeed(request: FastifyRequest, pace: BodyPace): ByteFeed {
  return (take) =>
    new Promise((resolve, reject) => {
      const { raw } = request
      sendContinue(raw)
      let settled = false
      const settle = (error?: unknown) => {
        if (settled) return
        settled = true
        stopWatching()
        pace.pause()
        raw.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
        if (error === undefined) return resolve()
        // Without a listener it would flow on, into nothing.
        raw.pause()
        reject(error)
      }
      const stopWatching = request.server.authority.watch(request, settle)
      const goOn = () => {
        if (settled) return
        pace.wait(settle)
        if (!settled) raw.resume()
      }
      const onData = (piece: Buffer) => {
        pace.arrived(piece.length)
        try {
          const room = take(piece)
          if (room === undefined) return
          pace.pause()
          raw.pause()
          room.then(goOn, settle)
        } catch (error) {
          settle(error)
        }
      }
      const onEnd = () => settle(raw.complete ? undefined : new ClientGone())
      const onError = (error: Error) => settle(isDisconnect(error, raw) ? new ClientGone() : error)
      const onClose = () => settle(new ClientGone())
      if (raw.readableEnded) return onEnd()
      if (raw.destroyed) return onClose()
      pace.wait(settle)
      if (settled) return
      raw.on('end', onEnd).on('error', onError).on('close', onClose).on('data', onData)
    })
}

/**
 * The body as it comes in. Throws `ClientGone` when the client disconnects before the body is complete; leaving the loop early
 * leaves the rest unread.
 */
async function* bodyChunks(request: FastifyRequest): AsyncGenerator<Buffer> {
  const { raw } = request
  sendContinue(raw)
  try {
    yield* raw.iterator({ destroyOnReturn: false })
  } catch (error) {
    throw isDisconnect(error, raw) ? new ClientGone() : error
  }
  if (!raw.complete) throw new ClientGone()
}

/**
 * Throws 413 beyond `maxBytes`, 408 when it takes longer than half a minute, 503 when there are too many long ones at a time, 401 or
 * 403 when the caller's rights end meanwhile.
 */
export async function readBody(request: FastifyRequest, maxBytes: number): Promise<Buffer> {
  const announcedBytes = contentLength(request)
  if ((announcedBytes ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes)
  let counted = false
  const countBytes = (bytes: number) => {
    if (counted || bytes <= uncountedBytesMax) return
    counted = true
    takeBody(request, (announcedBytes ?? maxBytes) * memoryPerByte)
  }
  countBytes(announcedBytes ?? 0)
  const chunks: Buffer[] = []
  let lengthBytes = 0
  let tooSlow = false
  const timer = setTimeout(() => {
    tooSlow = true
    request.raw.destroy(new BodyTooSlow())
  }, wholeBodyMs)
  try {
    for await (const chunk of bodyChunks(request)) {
      lengthBytes += chunk.length
      if (lengthBytes > maxBytes) throw new BodyTooLarge(maxBytes)
      countBytes(lengthBytes)
      chunks.push(chunk)
    }
  } catch (error) {
    throw tooSlow ? new BodyTooSlow() : error
  } finally {
    clearTimeout(timer)
  }
  await request.server.authority.judgeAgain(request)
  return Buffer.concat(chunks)
}

/** Whatever the Content-Type says. Throws 400 when it is not JSON. */
export async function readJson(request: FastifyRequest, maxBytes = jsonBytesMax): Promise<unknown> {
  const body = await readBody(request, maxBytes)
  // To look at a long one takes a while: those of one project must not come all at once.
  if (body.length > uncountedBytesMax) await request.server.fairness.turns.begin(ownerOf(request)).turn()
  return parseJson(body)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const halfAPair = /\p{Surrogate}/u
const surrogateEscape = /\\u[dD][89a-fA-F]/

/**
 * Throws MalformedBody for what is not JSON in UTF-8 (RFC 8259, 8.1), and for half a surrogate pair: what is not a character
 * would be stored as U+FFFD, and then different texts (passwords, names) would be equal.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decoded(bytes)
  if (nestsTooDeep(text)) throw new MalformedBody('the request body is nested too deep')
  try {
    return surrogateEscape.test(text) ? JSON.parse(text, requireCharacters) : JSON.parse(text)
  } catch (error) {
    throw error instanceof MalformedBody ? error : new MalformedBody('the request body is not valid JSON')
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new MalformedBody('the request body is not valid UTF-8')
  }
}

/** As a reviver of JSON.parse: sees every name and value. */
function requireCharacters(name: string, value: unknown): unknown {
  if (halfAPair.test(name) || (typeof value === 'string' && halfAPair.test(value)))
    throw new MalformedBody('expected characters, got half a surrogate pair')
  return value
}

/** Like `readJson`, and it must be an object. */
export async function readJsonObject(
  request: FastifyRequest,
  maxBytes = jsonBytesMax,
): Promise<Record<string, unknown>> {
  const value = await readJson(request, maxBytes)
  if (!isJsonObject(value)) throw new MalformedBody('the request body must be a JSON object')
  return value
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDisconnect(error: unknown, raw: IncomingMessage): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return raw.destroyed && (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE')
}

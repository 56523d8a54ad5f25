/**
 * Request bodies. Fastify parses none (see app.ts): a handler that wants the body takes it from here, as a stream or,
 * bounded in size and time, as JSON.
 */

import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { BodyTooLarge, BodyTooSlow, ClientGone, MalformedBody } from './errors.js'
import { nestsTooDeep } from './json_depth.js'
import { sendContinue } from './unread_body.js'

const jsonBytesMax = 1 << 20
const wholeBodyMs = 30_000

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
  wait<T>(next: Promise<T>): Promise<T>
  arrived(bytes: number): void
}

/**
 * The body as it comes in. Nothing is read ahead of the consumer beyond the socket's buffers. Throws `ClientGone` when
 * the client disconnects before the body is complete, `BodyTooSlow` when the pace says so; leaving the loop early leaves
 * the rest unread.
 */
export async function* bodyChunks(request: FastifyRequest, pace?: BodyPace): AsyncGenerator<Buffer> {
  const { raw } = request
  sendContinue(raw)
  const chunks: AsyncIterator<Buffer> = raw.iterator({ destroyOnReturn: false })
  try {
    for (;;) {
      const { done, value } = await (pace ? pace.wait(chunks.next()) : chunks.next())
      if (done) break
      pace?.arrived(value.length)
      yield value
    }
  } catch (error) {
    throw isDisconnect(error, raw) ? new ClientGone() : error
  } finally {
    // Not waited for: when the client was too slow, it answers only when the connection has ended.
    void chunks.return?.().catch(() => undefined)
  }
  if (!raw.complete) throw new ClientGone()
}

/** Throws 413 beyond `maxBytes`, 408 when it takes longer than half a minute. */
export async function readBody(request: FastifyRequest, maxBytes: number): Promise<Buffer> {
  if ((contentLength(request) ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes)
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
      chunks.push(chunk)
    }
  } catch (error) {
    throw tooSlow ? new BodyTooSlow() : error
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(chunks)
}

/** Whatever the Content-Type says. Throws 400 when it is not JSON. */
export async function readJson(request: FastifyRequest, maxBytes = jsonBytesMax): Promise<unknown> {
  const text = (await readBody(request, maxBytes)).toString('utf8')
  if (nestsTooDeep(text)) throw new MalformedBody('the request body is nested too deep')
  try {
    return JSON.parse(text)
  } catch {
    throw new MalformedBody('the request body is not valid JSON')
  }
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

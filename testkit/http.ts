/** HTTP without comforts: what is sent and what comes back is what the test says and sees. */

import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it and fail when it is not what they think
  json: any
}

export interface Question {
  method?: string
  headers?: OutgoingHttpHeaders
  /** A string or Buffer is sent with its Content-Length; a Readable is sent chunked unless a Content-Length is given. */
  body?: string | Buffer | Readable
  /** Sent as JSON. */
  json?: unknown
}

/** Rejects when the connection ends before the answer is complete. */
export function ask(url: string, question: Question = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {} } = question
    const body = question.json === undefined ? question.body : JSON.stringify(question.json)
    const lengthHeaders: OutgoingHttpHeaders =
      typeof body === 'string' || Buffer.isBuffer(body) ? { 'content-length': Buffer.byteLength(body) } : {}
    const outgoing = request(url, { method, headers: { ...lengthHeaders, ...headers }, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('aborted', () => reject(new Error('the answer was cut short')))
      response.on('end', () => {
        const bytes = Buffer.concat(chunks)
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: bytes,
          text: bytes.toString('utf8'),
          get json() {
            return JSON.parse(bytes.toString('utf8'))
          },
        })
      })
    })
    outgoing.on('error', reject)
    if (body instanceof Readable) body.pipe(outgoing)
    else outgoing.end(body)
  })
}

/**
 * Sends bytes as they are and answers everything that comes back until the server closes or is silent for `quietMs`.
 * For requests that no well-behaved client would send.
 */
export function sendRaw(url: string, bytes: string | Buffer, { quietMs = 500 } = {}): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    const finish = () => {
      socket.destroy()
      resolve(Buffer.concat(chunks).toString('latin1'))
    }
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? finish() : reject(error)))
    socket.on('close', finish)
    socket.setTimeout(quietMs, finish)
  })
}

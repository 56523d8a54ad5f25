/** The client of a running server's control socket (control.ts), for the commands. */

import { closeSync, openSync } from 'node:fs'
import { request } from 'node:http'
import { basename, dirname } from 'node:path'
import type { Reconnected } from '../core/exports/exports.js'
import { defineError } from '../lib/errors.js'
import type { StatusReport } from './control.js'

export const ServerRefuses = defineError('server_refuses', 400, '%s')
export const ServerSilent = defineError('server_silent', 504, 'the server did not answer within %s seconds')

/**
 * Names a socket by its folder's descriptor: the kernel takes 107 bytes for the path of a socket, and a data directory may lie deeper
 * (libuv would cut the path off and use another file). The name is good until `close`.
 */
export function shortName(socketPath: string): { path: string; close: () => void } {
  const folder = openSync(dirname(socketPath), 'r')
  return { path: `/proc/self/fd/${folder}/${basename(socketPath)}`, close: () => closeSync(folder) }
}

/** undefined: no server answers. */
export async function askForStatus(socketPath: string): Promise<StatusReport | undefined> {
  const answer = await ask(socketPath, { method: 'GET', path: '/status', timeoutMs: 10_000 })
  return answer && resultOf<StatusReport>(answer)
}

/** undefined: no server answers. Throws ServerRefuses. */
export async function askToReconnect(socketPath: string, volume: string): Promise<Reconnected | undefined> {
  // The server itself waits 10 s for requests in flight.
  const answer = await ask(socketPath, { method: 'POST', path: '/reconnect', timeoutMs: 30_000, body: { volume } })
  return answer && resultOf<Reconnected>(answer)
}

interface Answer {
  status: number
  body: string
}

/** Throws ServerRefuses. */
function resultOf<T>({ status, body }: Answer): T {
  if (status === 200) return JSON.parse(body)
  throw new ServerRefuses(messageIn(body) ?? `the running server does not support this command: HTTP status ${status}`)
}

/** undefined: there is none. A server of another version may answer anything. */
function messageIn(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown }
    return typeof message === 'string' ? message : undefined
  } catch {
    return undefined
  }
}

/** What a person can do about a socket's error, by its code. */
const socketErrors: Readonly<Record<string, string>> = {
  EACCES: "the server's control socket cannot be used: run the command as the server's user or as root",
  ECONNRESET: 'the server ended before it answered',
}

interface Question {
  method: string
  path: string
  body?: object
  timeoutMs: number
}

async function ask(socketPath: string, question: Question): Promise<Answer | undefined> {
  const { path, close } = shortName(socketPath)
  return send(path, question).finally(close)
}

function send(socketPath: string, { method, path, body, timeoutMs }: Question): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, method, path, timeout: timeoutMs }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString() }))
    })
    asking.on('timeout', () => asking.destroy(new ServerSilent(timeoutMs / 1000)))
    asking.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return resolve(undefined)
      const said = socketErrors[error.code ?? '']
      reject(said === undefined ? error : new ServerRefuses(said))
    })
    asking.end(body && JSON.stringify(body))
  })
}

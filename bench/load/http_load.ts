/** The HTTP clients: wrk for many small requests, curl for large GETs, and this process for large PUTs of bytes that are all new. */

import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { MiB } from '../../src/lib/units.js'

/** Where objects lie. */
export interface ObjectStore {
  /** Of a container or folder, with a slash at its end. */
  url: string
  headers: Record<string, string>
}

export interface LoadReport {
  requests: number
  seconds: number
}

const script = fileURLToPath(new URL('wrk.lua', import.meta.url))
let seed = process.pid

/** PUT of new objects of `bytes` each, or GET of `prefix`0 … `prefix`(names - 1). */
export async function wrk(
  store: ObjectStore,
  load: { method: 'PUT' | 'GET'; prefix: string; names?: number; bytes: number; clients: number; seconds: number },
): Promise<LoadReport & { p999Us: number }> {
  const { method, prefix, names = 1, bytes, clients, seconds } = load
  const { origin, pathname } = new URL(store.url)
  const headers = Object.entries(store.headers).map(([name, value]) => `${name}: ${value}`)
  const about = [
    '-t',
    '1',
    '-c',
    String(clients),
    '-d',
    String(Math.max(1, Math.round(seconds))),
    '--timeout',
    '30s',
    '-s',
    script,
  ]
  const words = [method, `${pathname}${prefix}`, String(names), String(bytes), String(seed++), ...headers]
  const { stdout } = await execa('wrk', [...about, origin, '--', ...words])
  const line = stdout.split('\n').find((each) => each.startsWith('{"requests"'))
  if (line === undefined) throw new Error(`wrk printed no report:\n${stdout}`)
  const report = JSON.parse(line) as LoadReport & { errors: number; p999Us: number }
  if (report.errors > 0 || report.requests === 0)
    throw new Error(`wrk: ${report.errors} of ${report.requests} requests failed`)
  return report
}

/** GETs of one object, over connections that stay. */
export async function curlGets(
  store: ObjectStore,
  load: { name: string; clients: number; requests: number },
): Promise<LoadReport> {
  const { name, clients, requests } = load
  const headers = Object.entries(store.headers).flatMap(([key, value]) => ['--header', `${key}: ${value}`])
  const transfers = Array.from({ length: requests }, () => `url = "${store.url}${name}"\noutput = /dev/null\n`)
  const args = [
    '--silent',
    '--show-error',
    '--no-progress-meter',
    '--fail-early',
    '--fail',
    ...headers,
    '--config',
    '-',
  ]
  const parallel = clients > 1 ? ['--parallel', '--parallel-immediate', '--parallel-max', String(clients)] : []
  const begin = performance.now()
  const { failed, stderr, shortMessage } = await execa('curl', [...parallel, ...args], {
    input: transfers.join(''),
    reject: false,
  })
  if (failed) throw new Error(stderr || shortMessage)
  return { requests, seconds: (performance.now() - begin) / 1000 }
}

/** PUTs of objects of `bytes` each, `names` in all. Each MiB is stamped: nothing is there already. */
export async function putLarge(
  store: ObjectStore,
  load: { names: readonly string[]; bytes: number; clients: number },
): Promise<LoadReport> {
  const { names, bytes, clients } = load
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const waiting = [...names]
  const begin = performance.now()
  const client = async () => {
    const piece = randomPiece()
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
      await putOne(store, { name, bytes, piece, agent })
  }
  await Promise.all(Array.from({ length: clients }, client))
  agent.destroy()
  return { requests: names.length, seconds: (performance.now() - begin) / 1000 }
}

let stamp = BigInt(process.pid) << 40n

async function putOne(
  store: ObjectStore,
  { name, bytes, piece, agent }: { name: string; bytes: number; piece: Buffer; agent: Agent },
): Promise<void> {
  const put = request(`${store.url}${name}`, {
    method: 'PUT',
    agent,
    headers: { ...store.headers, 'content-length': bytes },
  })
  // A server may answer and close before it has read all: its answer says more than the pipe that broke.
  const [sent, answered] = await Promise.allSettled([
    pipeline(Readable.from(stamped(piece, bytes), { objectMode: false }), put),
    once(put, 'response').then(([answer]) => readThrough(answer as IncomingMessage)),
  ])
  if (answered.status === 'rejected') throw answered.reason
  const { statusCode = 0 } = answered.value
  if (statusCode !== 201 && statusCode !== 204) throw new Error(`PUT ${name}: ${statusCode}`)
  if (sent.status === 'rejected') throw sent.reason
}

/** `bytes` of the piece again and again, each time with another stamp. */
function* stamped(piece: Buffer, bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += piece.length) {
    // What was written before may still be in the queue: it is the stamp's bytes alone that are sent anew.
    const head = Buffer.alloc(8)
    head.writeBigUInt64BE(stamp++)
    yield head
    yield piece.subarray(8, Math.min(piece.length, bytes - at))
  }
}

async function readThrough(answer: IncomingMessage): Promise<IncomingMessage> {
  answer.resume()
  await once(answer, 'end')
  return answer
}

/** Those that are there. */
export async function remove({ url, headers }: ObjectStore, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const answer = await fetch(`${url}${name}`, { method: 'DELETE', headers })
    if (!answer.ok && answer.status !== 404) throw new Error(`DELETE ${name}: ${answer.status} ${await answer.text()}`)
  }
}

function randomPiece(): Buffer {
  const piece = Buffer.allocUnsafe(MiB)
  for (let at = 0; at < MiB; at += 4) piece.writeUInt32LE(Math.floor(Math.random() * 2 ** 32), at)
  return piece
}

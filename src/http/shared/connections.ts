/**
 * HTTP connections: how many there are, in all and of one client.
 *
 * A client is an IPv4 address, or the /64 of an IPv6 address. Connections of trusted proxies carry the requests of many clients and
 * count in the total only.
 *
 * Invariants
 *   1. No connection is refused as long as an idle one (without a request that is being answered) can be closed in its place: the one
 *      that has been idle for longest, of the client itself when it has its share, otherwise of the client with the most connections.
 *   2. When all connections are busy, further ones are taken into a small reserve, in which only /healthcheck is answered: everything
 *      else gets 503. Newer ones displace older ones there, first those of the same client.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { clientOf, type ProxyTrust } from '../../lib/trusted_proxies.js'
import { ServerBusy } from './errors.js'

export interface ConnectionLimits {
  /** In all, without the reserve. */
  total: number
  ofClient: number
  trusts: ProxyTrust
}

/** Of a client, when the settings do not say it: enough for the usual client programs even where few are allowed. */
export const shareOfClient = (total: number): number => Math.min(total, Math.max(16, Math.ceil(total / 4)))

const reserveMax = 32
const reserveOfClientMax = 4
const errorReportMs = 10_000

interface Connection {
  socket: Socket
  /** peerOf(socket), which a closed socket does not tell any more. */
  peer: string
  client: Client
  /** Requests that are being answered. */
  requests: number
  reserved: boolean
}

interface Client {
  name: string
  count: number
  /** The one that has been idle for longest comes first. */
  idle: Set<Connection>
}

export function limitConnections(app: FastifyInstance, limits: ConnectionLimits): void {
  const connections = new Connections(limits)
  const server = app.server as Server
  server.on('connection', (socket: Socket) => connections.add(socket))
  // Of HTTPS: requests come on a socket of its own, around the one that was accepted.
  server.prependListener('secureConnection', (socket: TLSSocket) => connections.secure(socket))
  // Before Fastify's own listener, so that a request that is answered at once has been counted.
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) =>
    connections.begin(request.socket, response),
  )
  let reportedAt = Number.NEGATIVE_INFINITY
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (error.syscall !== 'accept') return
    // No descriptor or memory is left for a connection; it waits in the backlog until one is.
    connections.shed()
    if (performance.now() - reportedAt < errorReportMs) return
    reportedAt = performance.now()
    app.log.error({ err: error }, 'a connection could not be accepted')
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (!connections.isReserved(request.raw.socket) || request.raw.url === '/healthcheck') return done()
    void reply.header('connection', 'close').header('retry-after', 1)
    done(new ServerBusy())
  })
}

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #byPeer = new Map<string, Connection>()
  readonly #clients = new Map<string, Client>()
  /** The oldest comes first. */
  readonly #reserve = new Set<Connection>()
  #count = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  add(socket: Socket): void {
    const { remoteAddress } = socket
    const name = clientOf(remoteAddress)
    const client = this.#clients.get(name) ?? { name, count: 0, idle: new Set<Connection>() }
    const shared = this.#limits.trusts(remoteAddress, 0)
    const reserved = !this.#makeRoom(client, shared)
    const peer = peerOf(socket)
    const connection: Connection = { socket, peer, client, requests: 0, reserved }
    this.#bySocket.set(socket, connection)
    this.#byPeer.set(peer, connection)
    socket.once('close', () => this.#remove(connection))
    if (reserved) {
      this.#keepInReserve(connection)
      return
    }
    this.#clients.set(name, client)
    client.count += 1
    client.idle.add(connection)
    this.#count += 1
  }

  /** The handshake of a connection that was added is done: its requests come on this socket. */
  secure(socket: TLSSocket): void {
    const connection = this.#byPeer.get(peerOf(socket))
    if (connection !== undefined) this.#bySocket.set(socket, connection)
  }

  begin(socket: Socket, response: ServerResponse): void {
    const connection = this.#bySocket.get(socket)
    if (connection === undefined) return
    connection.requests += 1
    connection.client.idle.delete(connection)
    response.once('close', () => {
      connection.requests -= 1
      if (connection.requests > 0 || connection.reserved || socket.destroyed) return
      connection.client.idle.add(connection)
    })
  }

  isReserved(socket: Socket): boolean {
    return this.#bySocket.get(socket)?.reserved ?? false
  }

  /** Closes an idle connection, if there is one, for what its descriptor is needed for. */
  shed(): void {
    const victim = this.#longestIdle()
    if (victim !== undefined) this.#close(victim)
  }

  /** False: all that could be closed for a new connection of this client are busy. */
  #makeRoom(client: Client, shared: boolean): boolean {
    const { total, ofClient } = this.#limits
    const overShare = !shared && client.count >= ofClient
    if (!overShare && this.#count < total) return true
    const victim = overShare ? first(client.idle) : this.#longestIdle()
    if (victim === undefined) return false
    this.#close(victim)
    return true
  }

  #longestIdle(): Connection | undefined {
    let most: Client | undefined
    for (const client of this.#clients.values())
      if (client.idle.size > 0 && (most === undefined || client.count > most.count)) most = client
    return most && first(most.idle)
  }

  #keepInReserve(connection: Connection): void {
    const ofClient = [...this.#reserve].filter(({ client }) => client.name === connection.client.name)
    const victim = ofClient.length >= reserveOfClientMax ? ofClient[0] : undefined
    if (victim !== undefined) this.#close(victim)
    else if (this.#reserve.size >= reserveMax) this.#close(first(this.#reserve) as Connection)
    this.#reserve.add(connection)
  }

  /** It is not counted any more at once; its descriptor is closed in this turn of the event loop. */
  #close(connection: Connection): void {
    this.#remove(connection)
    connection.socket.destroy()
  }

  #remove(connection: Connection): void {
    const { client, socket } = connection
    if (!this.#bySocket.delete(socket)) return
    if (this.#byPeer.get(connection.peer) === connection) this.#byPeer.delete(connection.peer)
    if (connection.reserved) {
      this.#reserve.delete(connection)
      return
    }
    client.idle.delete(connection)
    client.count -= 1
    if (client.count === 0) this.#clients.delete(client.name)
    this.#count -= 1
  }
}

/** Its two ends: no two connections that are open have the same. */
const peerOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket): string =>
  [remoteAddress, remotePort, localAddress, localPort].join(' ')

function first<Value>(values: Set<Value>): Value | undefined {
  const [value] = values
  return value
}

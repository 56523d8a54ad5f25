/**
 * Metrics of NBD exports, from the counters that the engine keeps for each (docs/reference/nbd.md "Counters").
 *
 * The engine forgets exports that nobody has used for long, and counts from 0 when they come back. Counters of one export may do
 * that; the sums over all exports must not, so they are made of what each export has gained since the last reading.
 */

import { Counter, Gauge, type Registry } from 'prom-client'
import type { ExportCounters } from '../../engine/nbd.js'
import { Durations } from './durations.js'

/** Series of their own are for this many exports: those with the most connections, then those with the most requests. */
const exportsMax = 500

const durationKinds = ['read', 'write', 'flush', 'other'] as const

export class NbdMetrics {
  readonly #accepted: Counter<'door'>
  readonly #errors: Counter<'door'>
  readonly #bytes: Counter<'door' | 'direction'>
  readonly #requests: Counter<'door' | 'command'>
  readonly #durations: Durations<'door' | 'command'>
  readonly #exportRequests: Counter<'door' | 'export'>
  readonly #exportErrors: Counter<'door' | 'export'>
  readonly #exportBytes: Counter<'door' | 'export' | 'direction'>
  readonly #exportConnections: Gauge<'door' | 'export'>
  readonly #omitted: Gauge
  #before = new Map<string, ExportCounters>()

  constructor(registry: Registry) {
    const registers = [registry]
    const doors = { labelNames: ['door'] as const, registers }
    const exports = { labelNames: ['door', 'export'] as const, registers }
    this.#accepted = new Counter({
      name: 'atoll_nbd_connections_total',
      help: 'NBD connections that have chosen an export.',
      ...doors,
    })
    this.#errors = new Counter({
      name: 'atoll_nbd_errors_total',
      help: 'NBD requests that were answered with an error.',
      ...doors,
    })
    this.#bytes = new Counter({
      name: 'atoll_nbd_bytes_total',
      help: 'Bytes read from and written to NBD exports.',
      labelNames: ['door', 'direction'],
      registers,
    })
    this.#requests = new Counter({
      name: 'atoll_nbd_requests_total',
      help: 'NBD requests, refused ones included.',
      labelNames: ['door', 'command'],
      registers,
    })
    this.#durations = new Durations({
      name: 'atoll_nbd_request_duration_seconds',
      help: 'Time from the receipt of an NBD request to its reply. The sum is estimated from the buckets.',
    })
    registry.registerMetric(this.#durations.metric())
    this.#exportRequests = new Counter({
      name: 'atoll_nbd_export_requests_total',
      help: 'NBD requests of one export.',
      ...exports,
    })
    this.#exportErrors = new Counter({
      name: 'atoll_nbd_export_errors_total',
      help: 'NBD requests of one export that were answered with an error.',
      ...exports,
    })
    this.#exportBytes = new Counter({
      name: 'atoll_nbd_export_bytes_total',
      help: 'Bytes read from and written to one NBD export.',
      labelNames: ['door', 'export', 'direction'],
      registers,
    })
    this.#exportConnections = new Gauge({
      name: 'atoll_nbd_export_connections',
      help: 'Open NBD connections of one export.',
      ...exports,
    })
    this.#omitted = new Gauge({
      name: 'atoll_nbd_exports_omitted',
      help: `NBD exports without series of their own, because there are more than ${exportsMax}.`,
      registers,
    })
  }

  update(exports: readonly ExportCounters[]): void {
    const now = new Map(exports.map((one) => [`${one.door} ${one.name}`, one]))
    for (const [key, one] of now) this.#add(one, this.#before.get(key))
    this.#before = now
    this.#show(exports)
  }

  #add(now: ExportCounters, last: ExportCounters | undefined): void {
    const { door } = now
    this.#accepted.inc({ door }, gained(now.accepted, last?.accepted))
    this.#errors.inc({ door }, gained(now.errors, last?.errors))
    this.#bytes.inc({ door, direction: 'read' }, gained(now.bytesRead, last?.bytesRead))
    this.#bytes.inc({ door, direction: 'written' }, gained(now.bytesWritten, last?.bytesWritten))
    for (const [command, count] of entriesOf(now.requests))
      this.#requests.inc({ door, command }, gained(count, last?.requests[command]))
    for (const command of durationKinds) {
      const counts = now.latencyUs[command].map((count, i) => gained(count, last?.latencyUs[command][i]))
      this.#durations.add({ door, command }, counts)
    }
  }

  #show(exports: readonly ExportCounters[]): void {
    for (const metric of [this.#exportRequests, this.#exportErrors, this.#exportBytes, this.#exportConnections])
      metric.reset()
    const requestsOf = (one: ExportCounters) => Object.values(one.requests).reduce((sum, count) => sum + count, 0)
    const busiest = [...exports].sort((a, b) => b.connections - a.connections || requestsOf(b) - requestsOf(a))
    for (const one of busiest.slice(0, exportsMax)) {
      const labels = { door: one.door, export: one.name }
      this.#exportRequests.inc(labels, requestsOf(one))
      this.#exportErrors.inc(labels, one.errors)
      this.#exportBytes.inc({ ...labels, direction: 'read' }, one.bytesRead)
      this.#exportBytes.inc({ ...labels, direction: 'written' }, one.bytesWritten)
      this.#exportConnections.set(labels, one.connections)
    }
    this.#omitted.set(Math.max(0, busiest.length - exportsMax))
  }
}

/** Since the last reading. A count that is smaller now began again at 0. */
function gained(now: number, last = 0): number {
  return now >= last ? now - last : now
}

const entriesOf = <Key extends string>(counts: Readonly<Record<Key, number>>) =>
  Object.entries(counts) as [Key, number][]

/**
 * `GET /metrics` for Prometheus, on a listener of its own: monitoring must see a server whose API connections are all taken, and
 * whoever may read metrics may not use the APIs.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Store } from '../../core/store.js'
import type { AnswerReport } from '../../http/shared/answer_reports.js'
import { boundTo, type HostPort } from '../../lib/addresses.js'
import { asError } from '../../lib/errors.js'
import type { Logger } from '../../lib/log.js'
import { version } from '../../lib/version.js'
import { httpMetrics } from './http_metrics.js'
import { NbdMetrics } from './nbd_metrics.js'
import { StoreMetrics } from './store_metrics.js'

/** A few scrapers, and somebody with curl. */
const connectionsMax = 16
const requestMs = 10_000

/** Gauges of prom-client whose names end like those of counters. The same by type is in the metrics without `_total`. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

export class Metrics {
  /** For each answer of the APIs. */
  readonly onAnswer: (answer: AnswerReport) => void
  readonly #registry = new Registry()
  readonly #nbd: NbdMetrics
  readonly #storeMetrics: StoreMetrics
  readonly #store: Store
  readonly #log: Logger
  readonly #server: Server
  #rendering: Promise<string> | undefined

  constructor(store: Store, log: Logger) {
    this.#store = store
    this.#log = log
    collectDefaultMetrics({ register: this.#registry })
    for (const name of misnamed) this.#registry.removeSingleMetric(name)
    const build = new Gauge({
      name: 'atoll_build_info',
      help: 'The version of the server.',
      labelNames: ['version', 'io'],
      registers: [this.#registry],
    })
    build.set({ version, io: store.engine.info().io }, 1)
    this.onAnswer = httpMetrics(this.#registry)
    this.#nbd = new NbdMetrics(this.#registry)
    this.#storeMetrics = new StoreMetrics(this.#registry, store)
    this.#server = createServer({ requestTimeout: requestMs, headersTimeout: requestMs }, (request, response) => {
      void this.#answer(request, response)
    })
    this.#server.maxConnections = connectionsMax
  }

  /** Resolves to the address with the real port. */
  async listen(address: HostPort): Promise<HostPort> {
    const { host, port } = address
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, resolve)
    })
    return boundTo(this.#server, address)
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await Promise.all([closed, this.#rendering?.catch(() => undefined)])
  }

  /** Never rejects. */
  async #answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (status: number, message: string, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${message}\n`)
    if (url !== '/metrics') return void refuse(404, 'expected the path /metrics')
    if (method !== 'GET') return void refuse(405, 'expected the method GET', { allow: 'GET' })
    try {
      // Scrapers that come at the same time get the same text.
      this.#rendering ??= this.#render().finally(() => {
        this.#rendering = undefined
      })
      const text = await this.#rendering
      response.writeHead(200, { 'content-type': this.#registry.contentType }).end(text)
    } catch (error) {
      this.#log.error({ err: asError(error) }, 'the metrics could not be read')
      refuse(500, 'the metrics could not be read; the log of the server says why')
    }
  }

  async #render(): Promise<string> {
    this.#nbd.update(this.#store.engine.nbd.exportCounters())
    await this.#storeMetrics.update()
    return this.#registry.metrics()
  }
}

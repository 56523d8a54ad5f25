/** Metrics of the HTTP APIs. */

import { Counter, Histogram, type Registry } from 'prom-client'
import type { AnswerReport } from '../../http/shared/answer_reports.js'

/** Seconds: from a small GET to a long upload. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300]

/** Returns what is to be called for each answer. */
export function httpMetrics(registry: Registry): (answer: AnswerReport) => void {
  const registers = [registry]
  const requests = new Counter({
    name: 'atoll_http_requests_total',
    help: 'HTTP requests that were answered.',
    labelNames: ['api', 'method', 'status'],
    registers,
  })
  const durations = new Histogram({
    name: 'atoll_http_request_duration_seconds',
    help: 'Time from the headers of a request to the end of its response.',
    labelNames: ['api', 'method'],
    buckets,
    registers,
  })
  const received = new Counter({
    name: 'atoll_http_received_bytes_total',
    help: 'Bytes of requests, headers included.',
    labelNames: ['api'],
    registers,
  })
  const sent = new Counter({
    name: 'atoll_http_sent_bytes_total',
    help: 'Bytes of responses, headers included.',
    labelNames: ['api'],
    registers,
  })
  return ({ api, method, status, seconds, receivedBytes, sentBytes }) => {
    requests.inc({ api, method, status })
    durations.observe({ api, method }, seconds)
    received.inc({ api }, receivedBytes)
    sent.inc({ api }, sentBytes)
  }
}

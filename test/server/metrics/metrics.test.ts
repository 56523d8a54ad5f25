import { Registry } from 'prom-client'
import t from 'tap'
import type { ExportCounters } from '../../../src/engine/nbd.js'
import { httpMetrics } from '../../../src/server/metrics/http_metrics.js'
import { NbdMetrics } from '../../../src/server/metrics/nbd_metrics.js'

const buckets = (counts: Record<number, number>) => Array.from({ length: 24 }, (_, i) => counts[i] ?? 0)

function counters(name: string, { reads = 0, bytes = 0, connections = 0 } = {}): ExportCounters {
  return {
    door: 'tenant',
    name,
    connections,
    accepted: 1,
    requests: { read: reads, write: 0, flush: 0, trim: 0, cache: 0, writeZeroes: 0, blockStatus: 0, disconnect: 0 },
    errors: 0,
    bytesRead: bytes,
    bytesWritten: 0,
    latencyUs: { read: buckets({ 3: reads }), write: buckets({}), flush: buckets({}), other: buckets({}) },
  }
}

async function sampleOf(registry: Registry, series: string): Promise<number | undefined> {
  const line = (await registry.metrics()).split('\n').find((text) => text.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

t.test('sums over exports only grow, also when the engine forgets an export and counts it from 0 again', async (t) => {
  const registry = new Registry()
  const metrics = new NbdMetrics(registry)
  const total = 'atoll_nbd_requests_total{door="tenant",command="read"}'
  metrics.update([counters('a', { reads: 10 }), counters('b', { reads: 5 })])
  t.equal(await sampleOf(registry, total), 15)
  metrics.update([counters('a', { reads: 12 })])
  t.equal(await sampleOf(registry, total), 17, 'b is forgotten')
  t.equal(await sampleOf(registry, 'atoll_nbd_export_requests_total{door="tenant",export="b"}'), undefined)
  metrics.update([counters('a', { reads: 3 }), counters('b', { reads: 1 })])
  t.equal(await sampleOf(registry, total), 21, 'both began again')
  t.equal(await sampleOf(registry, 'atoll_nbd_export_requests_total{door="tenant",export="a"}'), 3)
})

t.test('durations become a histogram in seconds', async (t) => {
  const registry = new Registry()
  const metrics = new NbdMetrics(registry)
  metrics.update([counters('a', { reads: 4 })]) // of 4 to 8 µs
  const series = (suffix: string, le = '') =>
    `atoll_nbd_request_duration_seconds_${suffix}{door="tenant",command="read"${le && `,le="${le}"`}}`
  t.equal(await sampleOf(registry, series('bucket', '0.000004')), 0)
  t.equal(await sampleOf(registry, series('bucket', '0.000008')), 4)
  t.equal(await sampleOf(registry, series('bucket', '+Inf')), 4)
  t.equal(await sampleOf(registry, series('count')), 4)
  const sum = (await sampleOf(registry, series('sum'))) ?? 0
  t.ok(sum > 4 * 4e-6 && sum < 4 * 8e-6, `${sum} s`)
})

t.test('at most 500 exports have series of their own, those with connections first', async (t) => {
  const registry = new Registry()
  const metrics = new NbdMetrics(registry)
  const idle = Array.from({ length: 600 }, (_, i) => counters(`idle${i}`, { reads: 100 }))
  metrics.update([...idle, counters('used', { reads: 1, connections: 1 })])
  const lines = (await registry.metrics()).split('\n')
  t.equal(lines.filter((line) => line.startsWith('atoll_nbd_export_requests_total{')).length, 500)
  t.ok(lines.some((line) => line.startsWith('atoll_nbd_export_connections{door="tenant",export="used"}')))
  t.equal(await sampleOf(registry, 'atoll_nbd_exports_omitted'), 101)
  t.equal(await sampleOf(registry, 'atoll_nbd_requests_total{door="tenant",command="read"}'), 60_001, 'sums have all')
})

t.test('requests are counted by API, method and status', async (t) => {
  const registry = new Registry()
  const report = httpMetrics(registry)
  const answer = { api: 'swift', method: 'GET', status: 200, seconds: 0.02, receivedBytes: 100, sentBytes: 5000 }
  report(answer)
  report({ ...answer, status: 404 })
  t.equal(await sampleOf(registry, 'atoll_http_requests_total{api="swift",method="GET",status="404"}'), 1)
  t.equal(await sampleOf(registry, 'atoll_http_sent_bytes_total{api="swift"}'), 10_000)
  t.equal(
    await sampleOf(registry, 'atoll_http_request_duration_seconds_bucket{le="0.025",api="swift",method="GET"}'),
    2,
  )
})

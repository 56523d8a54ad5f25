// What a real Prometheus reads from a server that is busy: all metrics pass promtool, every query of the dashboard has an answer,
// and every alert rule can be evaluated.

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { tool } from '../../testkit/nbd_tools.js'
import { answers, freePort } from '../../testkit/ports.js'
import { startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(180_000)

const guide = fileURLToPath(new URL('../../docs/guide/monitoring/', import.meta.url))
const metricsPort = await freePort()
const server = await startServerProcess(t, { arguments: ['--metrics', `127.0.0.1:${metricsPort}`] })
const metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`
const api = await Api.login(await server.environment())
const volume = await api.createVolume()
const { uri } = await api.attach(volume)
await api.expect(201, 'PUT', api.object('monitored'))

/** All that the APIs and NBD can be asked, a little of each. */
async function work(): Promise<void> {
  await api.expect(201, 'PUT', api.object('monitored/object'), { body: randomBytes(100_000) })
  await (await api.expect(200, 'GET', api.object('monitored/object'))).arrayBuffer()
  await (await api.expect(200, 'GET', '/image/v2/images')).text()
  await (await api.expect(200, 'GET', `/volume/v3/${api.projectId}/volumes`)).text()
  await tool('/usr/bin/python3', [
    '-c',
    `import nbd
h = nbd.NBD()
h.connect_uri(${JSON.stringify(uri)})
for at in range(0, 1 << 20, 65536):
    h.pwrite(b'x' * 65536, at)
    h.pread(65536, at)
h.flush()
h.trim(65536, 0)
h.shutdown()`,
  ])
}

t.test('promtool finds nothing wrong with the metrics of a busy server', async (t) => {
  await work()
  const answer = await fetch(metricsUrl)
  t.equal(answer.status, 200)
  const text = await answer.text()
  const { exitCode, all } = await execa('promtool', ['check', 'metrics'], { input: text, reject: false, all: true })
  t.equal(exitCode, 0, all)
  t.match(text, `atoll_nbd_export_bytes_total{door="tenant",export="${volume}/`, 'by volume and attachment')
  t.notMatch(text, new URL(uri).pathname.slice(1), 'an export name is a credential')
  t.notMatch(text, api.token, 'so is a token')
})

t.test('a real Prometheus answers every query of the dashboard, and evaluates every alert rule', async (t) => {
  const directory = join(server.scratchDir, 'prometheus')
  await mkdir(directory)
  const config = {
    global: { scrape_interval: '250ms', evaluation_interval: '500ms' },
    rule_files: [join(guide, 'alerts.yml')],
    scrape_configs: [{ job_name: 'atoll', static_configs: [{ targets: [`127.0.0.1:${metricsPort}`] }] }],
  }
  const file = join(directory, 'prometheus.yml')
  await writeFile(file, JSON.stringify(config))
  await tool('promtool', ['check', 'config', file])
  const port = await freePort()
  const prometheus = execa(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { reject: false, all: true, timeout: 170_000 },
  )
  t.teardown(async () => {
    prometheus.kill('SIGTERM')
    await prometheus
  })
  const ready = async () =>
    (await answers({ host: '127.0.0.1', port })) && (await fetch(`http://127.0.0.1:${port}/-/ready`)).status === 200
  while (!(await ready())) {
    if (prometheus.exitCode !== null) throw new Error((await prometheus).all)
    await sleep(50)
  }
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    return (await answer.json()) as { status: string; data: { result: unknown[]; groups: { rules: Rule[] }[] } }
  }
  interface Rule {
    name: string
    health: string
    state: string
    lastError?: string
  }

  // Rates need two readings with something in between.
  const waitUntilScraped = async (times: number) => {
    for (;;) {
      const { data } = await ask(`query?query=${encodeURIComponent('sum_over_time(up{job="atoll"}[1h])')}`)
      const [first] = (data?.result ?? []) as { value: [number, string] }[]
      if (Number(first?.value[1] ?? 0) >= times) return
      await sleep(50)
    }
  }
  await waitUntilScraped(1)
  await work()
  await waitUntilScraped(8)

  const dashboard = JSON.parse(await readFile(join(guide, 'dashboard.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  for (const { title, targets } of dashboard.panels) {
    for (const { expr } of targets) {
      const query = expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*')
      const { status, data } = await ask(`query?query=${encodeURIComponent(query)}`)
      t.equal(status, 'success', `${title}: ${query}`)
      // There were no failed requests, and so there is no such series.
      if (!expr.includes('5..')) t.ok(data.result.length > 0, `${title}: ${query} has values`)
    }
  }

  const evaluated = async () => (await ask('rules')).data.groups.flatMap(({ rules }) => rules)
  let rules = await evaluated()
  while (rules.some(({ health }) => health === 'unknown')) {
    await sleep(100)
    rules = await evaluated()
  }
  t.ok(rules.length > 0)
  for (const { name, health, state, lastError } of rules) {
    t.equal(health, 'ok', `${name}: ${lastError ?? ''}`)
    // Pending may be what a trend says that was seen for seconds only.
    t.not(state, 'firing', `${name} does not fire for a healthy server`)
  }
})

t.test('the listener serves metrics and nothing else', async (t) => {
  t.equal((await fetch(`http://127.0.0.1:${metricsPort}/`)).status, 404)
  t.equal((await fetch(`http://127.0.0.1:${metricsPort}/v3`)).status, 404)
  const put = await fetch(metricsUrl, { method: 'PUT', body: 'x' })
  t.equal(put.status, 405)
  t.equal(put.headers.get('allow'), 'GET')
  t.equal((await fetch(`${server.url}/metrics`)).status, 404, 'and the APIs serve none')
})

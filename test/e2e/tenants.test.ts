// Two tenants who are strangers: one does what harms most, the other works, and must not notice. His errors fail the test; his
// latencies are printed (what they should be is in docs/internals/reliability.md).
//
// Runs alone: it prints latencies.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { Api } from '../../testkit/api.js'
import { atoll, program, startServerProcess } from '../../testkit/server_process.js'

t.setTimeout(400_000)

const attacker = fileURLToPath(new URL('tenants/attacker.py', import.meta.url))
const seconds = Number(process.env.ATOLL_TENANTS_SECONDS ?? 60)
const server = await startServerProcess(t)
const admin = await server.environment()

async function tenant(name: string): Promise<Record<string, string>> {
  const password = randomBytes(12).toString('hex')
  const { exitCode, all } = await execa(
    process.execPath,
    [
      program,
      'user',
      'create',
      name,
      '--project',
      name,
      '--role',
      'member',
      '--password-stdin',
      '--data',
      server.dataDir,
    ],
    { input: password, reject: false, all: true },
  )
  if (exitCode !== 0) throw new Error(all)
  return { ...admin, OS_USERNAME: name, OS_PASSWORD: password, OS_PROJECT_NAME: name }
}

/** Calls `work` for each number below `count`, eight at a time. */
async function eachOf(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: 8 }, lane))
}

const json = { 'content-type': 'application/json' }

/** What the hostile tenant has, as much as one may have. Returns what the attacker is told. */
async function arm(api: Api): Promise<object> {
  for (const container of ['things', 'things-slow']) await api.expect(201, 'PUT', api.object(container))
  await eachOf(3000, (i) =>
    api.expect(201, 'PUT', api.object(`things/${String(i).padStart(4, '0')}`), { body: Buffer.from('x') }),
  )
  const properties = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, 'x'.repeat(1000)]))
  await eachOf(100, (i) =>
    api.expect(201, 'POST', '/image/v2/images', {
      headers: json,
      body: Buffer.from(JSON.stringify({ name: `image ${i}`, ...properties })),
    }),
  )
  const metadata = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`m${i}`, 'x'.repeat(250)]))
  const volumes: string[] = []
  await eachOf(200, async () => void volumes.push(await api.createVolume({ metadata })))
  const { uri } = await api.attach(volumes[0] as string)
  const { host, pathname } = new URL(uri)
  return {
    http: new URL(server.url).host,
    nbd: host,
    token: api.token,
    project: api.projectId,
    container: 'things',
    export: pathname.slice(1),
    seconds,
  }
}

const percentile = (sorted: number[], part: number) => sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN

t.test('a tenant who does his worst for a minute does not disturb another one who works', async (t) => {
  const mallory = await Api.login(await tenant('mallory'))
  const alice = await tenant('alice')
  const api = await Api.login(alice)
  const config = await arm(mallory)
  const volume = await api.createVolume()
  const attached = await api.attach(volume)
  await api.expect(201, 'PUT', api.object('mine'))
  const small = randomBytes(1000)
  await api.expect(201, 'PUT', api.object('mine/small'), { body: small })

  const disk = execa('/usr/bin/python3', ['-c', diskWork(attached.uri)], { reject: false, all: true, timeout: 300_000 })
  const attack = execa('/usr/bin/python3', [attacker, JSON.stringify(config)], { reject: false, stderr: 'inherit' })
  const said = createInterface(attack.stdout)[Symbol.asyncIterator]()
  t.equal((await said.next()).value, 'under way')
  let ended = false
  const outcome = said.next().then(({ value }) => {
    ended = true
    return JSON.parse(value ?? 'null') as Record<string, Record<string, number>> | null
  })

  const latencies: number[] = []
  const errors: string[] = []
  const start = performance.now()
  let slowest = { ms: 0, name: '', at: 0 }
  const timed = async (name: string, work: () => Promise<void>) => {
    const begin = performance.now()
    await work()
    const ms = performance.now() - begin
    latencies.push(ms)
    if (ms > slowest.ms) slowest = { ms, name, at: begin - start }
  }
  const gets: [name: string, work: () => Promise<void>][] = [
    [
      'object',
      async () => {
        const answer = await api.expect(200, 'GET', api.object('mine/small'))
        if (!Buffer.from(await answer.arrayBuffer()).equals(small)) throw new Error('other bytes')
      },
    ],
    [
      'volume',
      async () => void (await (await api.expect(200, 'GET', `/volume/v3/${api.projectId}/volumes/${volume}`)).text()),
    ],
    ['images', async () => void (await (await api.expect(200, 'GET', '/image/v2/images?limit=5')).text())],
  ]
  const changes = [
    async () => void (await api.expect(201, 'PUT', api.object('mine/again'), { body: small })),
    async () => void (await Api.login(alice)),
    async () => void (await api.delete('snapshots', await api.createSnapshot({ volumeId: volume }))),
    async () => {
      if ((await fetch(`${server.url}/healthcheck`)).status !== 200) throw new Error('unhealthy')
    },
    async () => {
      const status = await atoll('status', '--data', server.dataDir)
      if (status.exitCode !== 0) throw new Error(`atoll status: ${status.all}`)
    },
  ]
  for (let turn = 0; !ended; turn++) {
    try {
      await timed(...(gets[turn % gets.length] as (typeof gets)[number]))
      if (turn % 50 === 0) await changes[(turn / 50) % changes.length]?.()
    } catch (error) {
      const { message, cause } = error as Error
      errors.push(cause === undefined ? message : `${message}: ${cause}`)
    }
  }
  for (const [name, counts] of Object.entries((await outcome) ?? {})) t.comment(`${name}: ${JSON.stringify(counts)}`)
  latencies.sort((a, b) => a - b)
  const figures = [0.5, 0.9, 0.99, 1].map((part) => percentile(latencies, part).toFixed(1)).join(', ')
  t.comment(`${latencies.length} small GETs of the other tenant: p50, p90, p99, max ${figures} ms`)
  t.comment(`the slowest: ${slowest.name}, begun after ${(slowest.at / 1000).toFixed(1)} s`)
  t.same(errors.slice(0, 10), [], `${errors.length} errors of the other tenant`)

  disk.stdin?.end()
  const { exitCode, all } = await disk
  t.equal(exitCode, 0, `his disk: ${all}`)
  t.comment(`his disk: ${all}`)
  if (attack.exitCode === null) await once(attack, 'exit')
  t.equal((await fetch(`${server.url}/healthcheck`)).status, 200)
  await server.stop()
  const check = await server.check()
  t.equal(check.exitCode, 0, check.all)
})

/** Python that writes to the disk and reads back until its standard input ends. */
function diskWork(uri: string): string {
  return [
    'import nbd, random, select, sys, time',
    'h = nbd.NBD()',
    `h.connect_uri(${JSON.stringify(uri)})`,
    'times = []',
    'while not select.select([sys.stdin], [], [], 0.005)[0]:',
    '  at = random.randrange(1 << 18) * 4096',
    '  data = random.randbytes(4096)',
    '  begin = time.perf_counter()',
    '  h.pwrite(data, at)',
    '  assert h.pread(4096, at) == data',
    '  times.append(time.perf_counter() - begin)',
    'h.shutdown()',
    'times.sort()',
    'print(f"{len(times)} pairs of a write and a read, p99 {times[int(0.99 * len(times))] * 1000:.1f} ms")',
  ].join('\n')
}

// measure_limits.ts: what scripts/measure-limits prints. A data directory with much in it is made, the real server is started on
// it as a process of its own, and asked from outside.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { ProjectCaller } from '../src/core/model/records.js'
import { callerNow } from '../src/core/policy/rights.js'
import { openStore, type Store } from '../src/core/store.js'
import { type LayerId, newObjectId, newResourceId } from '../src/lib/ids.js'
import { silentLogger } from '../src/lib/log.js'
import { Cleanup } from '../testkit/power/cleanup.js'
import { Api } from '../testkit/api.js'
import { atoll, type ServerProcess, startServerProcess } from '../testkit/server_process.js'

const { values } = parseArgs({
  options: {
    volumes: { type: 'string', default: '10000' },
    objects: { type: 'string', default: '1000000' },
    exports: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '1000' },
    busy: { type: 'string', default: '200' },
  },
})
const wanted = {
  volumes: Number(values.volumes),
  objects: Number(values.objects),
  exports: Number(values.exports),
  idle: Number(values.idle),
  busy: Number(values.busy),
}

// ---- what is there ----

/** Answers the names of the exports. */
async function fill(server: ServerProcess): Promise<string[]> {
  const store = await openStore({ dataDir: server.dataDir, log: silentLogger() })
  try {
    const caller = await adminOf(store)
    const [volumesS, volumes] = await timed(() => makeVolumes(store, caller))
    row(`${volumes.length} volumes made, one transaction each`, `${volumesS.toFixed(1)} s`)
    // Addresses are told to clients by the server that runs later.
    store.core.exports.tenantAddress = { host: '127.0.0.1', port: 1 }
    for (const volumeId of volumes.slice(0, wanted.exports))
      await store.core.attachments.create(caller, { volumeId, connector: { host: 'measure' } })
    const [objectsS] = await timed(() => insertObjects(store, caller))
    row(
      `${wanted.objects} objects inserted in bulk (see the head of scripts/measure-limits)`,
      `${objectsS.toFixed(1)} s`,
    )
    const attachments = await store.catalog.db.selectFrom('attachments').select('export_name').execute()
    return attachments.map((attachment) => attachment.export_name ?? '')
  } finally {
    await store.close()
  }
}

async function adminOf({ core }: Store): Promise<ProjectCaller> {
  const [user] = await core.identity.users.list()
  const caller = user && (await callerNow(core.catalog.db, user.id, { projectId: user.defaultProjectId }))
  if (caller?.project === undefined) throw new Error('the first start made no admin')
  return { ...caller, project: caller.project }
}

async function makeVolumes({ core }: Store, caller: ProjectCaller) {
  const ids: string[] = []
  for (let n = 0; n < wanted.volumes; n++) {
    const name = `volume-${String(n).padStart(6, '0')}`
    ids.push((await core.volumeSources.create(caller, { name, sizeGib: 1, source: { kind: 'blank' } })).id)
  }
  return ids
}

/** The rows that `Objects.put` makes for each: a sealed layer, a resource on it, the object. Their bytes are zeros: no engine state. */
async function insertObjects({ core, catalog }: Store, caller: ProjectCaller): Promise<void> {
  const projectId = caller.project.id
  await core.containers.put(caller, { projectId, container: 'many' })
  const container = await catalog.db
    .selectFrom('containers')
    .selectAll()
    .where('name', '=', 'many')
    .executeTakeFirstOrThrow()
  const batch = 1000
  for (let first = 0; first < wanted.objects; first += batch) {
    await catalog.transaction(async ({ db }) => {
      const { next } = await db
        .updateTable('sequences')
        .set((e) => ({ next: e('next', '+', batch) }))
        .where('name', '=', 'layers')
        .returning('next')
        .executeTakeFirstOrThrow()
      const now = Date.now()
      const rows = Array.from({ length: batch }, (_, n) => ({
        layer: (next - batch + n) as LayerId,
        resource: newResourceId(),
        name: `folder-${String(Math.floor((first + n) / 1000)).padStart(4, '0')}/object-${String(first + n).padStart(7, '0')}`,
      }))
      const layers = rows.map(({ layer }) => {
        return {
          id: layer,
          parent: null,
          parent_limit_blocks: 0,
          sealed: 1 as const,
          state: 'live' as const,
          created_at: now,
        }
      })
      await db.insertInto('layers').values(layers).execute()
      const resources = rows.map(({ layer, resource }) => {
        return { id: resource, mode: 'ro' as const, size_bytes: 4096, head_layer: layer, created_at: now }
      })
      await db.insertInto('resources').values(resources).execute()
      const shared = { container_id: container.id, size_bytes: 4096, md5: '0'.repeat(32), sha256: '0'.repeat(64) }
      const objects = rows.map(({ resource, name }) => {
        const times = { created_at: now, updated_at: now }
        return { ...shared, ...times, id: newObjectId(), name, resource_id: resource, content_type: 'text/plain' }
      })
      await db.insertInto('objects').values(objects).execute()
      await db
        .updateTable('containers')
        .set((e) => ({ object_count: e('object_count', '+', batch), bytes_used: e('bytes_used', '+', batch * 4096) }))
        .where('id', '=', container.id)
        .execute()
    })
  }
}

// ---- lists ----

async function lists(api: Api): Promise<void> {
  const middle = `folder-${String(Math.floor(wanted.objects / 2000)).padStart(4, '0')}/`
  const volumes = `/volume/v3/${api.projectId}/volumes`
  const page = await api.expect(200, 'GET', `${volumes}?limit=1000`)
  const { volumes: first } = (await page.json()) as { volumes: { id: string }[] }
  for (const [what, path] of [
    ['objects, the first page of 1,000', `${api.object('many')}?limit=1000&format=json`],
    ['objects, a page from the middle on', `${api.object('many')}?limit=1000&format=json&marker=${middle}`],
    ['objects, the last page', `${api.object('many')}?limit=1000&format=json&end_marker=g&marker=folder-9999`],
    ['objects, those of one folder', `${api.object('many')}?limit=1000&format=json&prefix=${middle}`],
    ['folders (delimiter), 1,000 of them', `${api.object('many')}?limit=1000&format=json&delimiter=/`],
    ['volumes, the first page of 1,000', `${volumes}?limit=1000`],
    ['volumes, the second page', `${volumes}?limit=1000&marker=${first.at(-1)?.id}`],
    ['volumes in detail, 1,000', `${volumes}/detail?limit=1000`],
    ['volumes in detail, one by its name', `${volumes}/detail?name=volume-000500`],
    ['one object', `${api.object('many')}/${middle}object-${String(Math.floor(wanted.objects / 2)).padStart(7, '0')}`],
  ] as const) {
    const times: number[] = []
    for (let n = 0; n < 7; n++) times.push((await timed(async () => (await get(api, path)).arrayBuffer()))[0] * 1000)
    row(what, `${middleOf(times).toFixed(1)} ms`)
  }
}

async function get(api: Api, path: string): Promise<Response> {
  const answer = await api.call('GET', path)
  if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

// ---- connections ----

/** limits_clients.py: opens connections, holds them, loads them. */
class Clients {
  readonly #child
  readonly #answers

  constructor() {
    const script = fileURLToPath(new URL('limits_clients.py', import.meta.url))
    this.#child = spawn('/usr/bin/python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  async open(uris: string[]): Promise<void> {
    await this.#do({ do: 'open', uris })
  }

  /** Writes of 4 KiB, one in flight on each connection. Answers how many a second. */
  async load(seconds: number): Promise<number> {
    return Number((await this.#do({ do: 'load', seconds }))['per_second'])
  }

  async end(): Promise<void> {
    this.#child.stdin.end()
    await once(this.#child, 'exit')
  }

  async #do(command: object): Promise<Record<string, unknown>> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error('the clients ended')
    return JSON.parse(value)
  }
}

async function connections(server: ServerProcess, api: Api, exportNames: string[]): Promise<void> {
  const uris = exportNames.map((name) => `nbd://${server.nbdAddress}/${name}`)
  const [firstUri = ''] = uris
  const kib = async (count: number, open: () => Promise<unknown>) => {
    const before = await memoryKib(server)
    await open()
    return ((await memoryKib(server)) - before) / count
  }
  const clients = new Clients()
  await clients.open([firstUri]) // what the first one of all costs is not theirs
  const each = await kib(uris.length, () => clients.open(uris))
  row(`${uris.length} exports attached, each open with a connection`, `${each.toFixed(1)} KiB each`)
  const idle = await kib(wanted.idle, () => clients.open(Array.from({ length: wanted.idle }, () => firstUri)))
  row(`${wanted.idle} more connections to one of them, idle`, `${idle.toFixed(1)} KiB each`)
  const touched = await kib(uris.length, async () => clients.load(3))
  row(
    `the same after 4 KiB were written at random places of each volume for 3 s`,
    `${touched.toFixed(1)} KiB each more`,
  )
  await clients.end()

  const sockets: Socket[] = []
  const http = await kib(wanted.idle, async () => {
    const { hostname, port } = new URL(server.url)
    for (let n = 0; n < wanted.idle; n++) {
      const socket = connect(Number(port), hostname)
      sockets.push(socket)
      await once(socket, 'connect')
      socket.write('GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n')
      await once(socket, 'data')
    }
  })
  row(`${wanted.idle} idle HTTP connections, after an answer on each`, `${http.toFixed(1)} KiB each`)
  for (const socket of sockets) socket.destroy()

  const busy = new Clients()
  await busy.open(Array.from({ length: wanted.busy }, (_, n) => uris[n % uris.length] ?? firstUri))
  const before = await memoryKib(server)
  const perSecond = await busy.load(5)
  row(`${wanted.busy} busy connections, each with one write of 4 KiB in flight`, `${Math.round(perSecond)} writes/s`)
  row('  memory then', `${(((await memoryKib(server)) - before) / 1024).toFixed(1)} MiB more`)
  const [ms] = await timed(() => get(api, `${api.object('many')}?limit=1`))
  row('  an API call afterwards', `${(ms * 1000).toFixed(1)} ms`)
  await busy.end()
}

// ---- figures ----

async function memoryKib(server: ServerProcess): Promise<number> {
  const { stdout } = await atoll('status', '--json', '--data', server.dataDir)
  const { process: id } = JSON.parse(stdout) as { process: number }
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${id}/status`, 'utf8'))?.[1])
}

/** In seconds. */
async function timed<Result>(call: () => Promise<Result>): Promise<[number, Result]> {
  const begin = performance.now()
  const result = await call()
  return [(performance.now() - begin) / 1000, result]
}

function middleOf(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
}

function row(what: string, figure: string): void {
  console.log(`${what.padEnd(86)}${figure.padStart(20)}`)
}

const cleanup = new Cleanup()
try {
  // One client, one project and one export have more of them here than they usually may.
  const limits = ['http-max-client', 'nbd-max-project', 'nbd-max-export'].flatMap((each) => [
    `--${each}-connections`,
    '4096',
  ])
  const server = await startServerProcess(cleanup, { arguments: limits })
  row('memory of a fresh server', `${((await memoryKib(server)) / 1024).toFixed(0)} MiB`)
  await server.stop()
  const exportNames = await fill(server)
  const startsMs: number[] = []
  for (let n = 0; n < 3; n++) {
    startsMs.push(await server.start())
    await server.kill()
  }
  startsMs.push(await server.start())
  row('start on all of it after a kill -9, until it serves (median)', `${Math.round(middleOf(startsMs))} ms`)
  const api = await Api.login(await server.environment())
  row('memory then', `${((await memoryKib(server)) / 1024).toFixed(0)} MiB`)
  await lists(api)
  await connections(server, api, exportNames)
} finally {
  await cleanup.run()
}

// Requests that no client would send, to every route: thousands of them, drawn from a seed; whole, dripped, cut in the middle. None
// may be answered by an internal error, none may leave anything behind in memory or in the store, and the server must be as
// good as before afterwards. The routes are Fastify's own list, so a new one is tried without being named here.
//
//   ATOLL_SEED=n ATOLL_REQUESTS=n   replays a seed; draws more

import { createHash } from 'node:crypto'
import { METHODS } from 'node:http'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { pino } from 'pino'
import t from 'tap'
import { ask } from '../../../testkit/http.js'
import { startServer } from '../../../testkit/server.js'
import { atoll } from '../../../testkit/server_process.js'

t.setTimeout(280_000)

const seed = process.env.ATOLL_SEED ?? String(Date.now() % 1_000_000)
const requests = Number(process.env.ATOLL_REQUESTS ?? 2_500)

/** Draws from the seed: the same seed gives the same requests. */
class Dice {
  #state: number

  constructor(seed: string) {
    this.#state = createHash('sha256').update(seed).digest().readUInt32LE() || 1
  }

  /** 0 to below `limit`. */
  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % limit
  }

  oneOf<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }

  oneIn(times: number): boolean {
    return this.below(times) === 0
  }
}

const KiB = 1024
const MiB = 1024 * KiB

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** What is in use, once what is not has been thrown away. */
function memory(): { heap: number; resident: number } {
  for (let i = 0; i < 3; i++) collectGarbage()
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage()
  return { heap: heapUsed + arrayBuffers, resident: rss }
}

/** Sends pieces with a pause between them, then ends its side, or the whole connection without a word. Resolves when it is closed. */
function drip(url: string, pieces: Buffer[], reset: boolean): Promise<void> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    const next = () => {
      const piece = pieces.shift()
      if (piece === undefined) reset ? socket.resetAndDestroy() : socket.end()
      else socket.write(piece, () => setTimeout(next, 3))
    }
    socket.on('connect', next)
    socket.on('error', () => {}) // a refusal may come as a reset
    socket.on('close', () => resolve())
    socket.resume()
  })
}

type Json = unknown

const values: Json[] = [
  null,
  true,
  0,
  -1,
  1,
  1.5,
  1e308,
  2 ** 53,
  '',
  'x',
  'default',
  '0',
  '-1',
  '1e9',
  'x'.repeat(300),
  'ä€😀',
  '\u0000',
  '\ud800',
  'a\r\nb',
  "'; DROP TABLE objects; --",
  '%s%s%n',
  '../../etc/passwd',
  '00000000-0000-0000-0000-000000000000',
  [],
  [[]],
  {},
  { id: 1 },
  { constructor: { prototype: 1 } },
]

const bodies: Json[] = [
  {
    auth: {
      identity: {
        methods: ['password'],
        password: { user: { name: 'bob', domain: { id: 'default' }, password: 'x' } },
      },
      scope: { project: { id: 'x' } },
    },
  },
  { auth: { identity: { methods: ['token'], token: { id: 'x' } } } },
  { user: { name: 'n', password: 'p', email: 'e', default_project_id: 'x', enabled: true, description: 'd' } },
  { project: { name: 'n', description: 'd', enabled: true } },
  { volume: { size: 1, name: 'n', description: 'd', metadata: { a: 'b' }, imageRef: 'x', snapshot_id: 'x' } },
  { volume: { size: 1, name: 'n' } },
  { snapshot: { volume_id: 'x', name: 'n', force: true, metadata: { a: 'b' } } },
  { attachment: { volume_uuid: 'x', instance_uuid: 'y', connector: { host: 'h' }, mode: 'rw' } },
  { metadata: { a: 'b' } },
  { meta: { a: 'b' } },
  { 'os-extend': { new_size: 2 } },
  { 'os-volume_upload_image': { image_name: 'i', force: true, disk_format: 'raw', container_format: 'bare' } },
  { 'os-reset_status': { status: 'error' } },
  { 'os-attach': { instance_uuid: 'x', mountpoint: '/dev/vda', mode: 'rw' } },
  { 'os-detach': { attachment_id: 'x' } },
  { 'os-initialize_connection': { connector: { host: 'h' } } },
  { 'os-set_bootable': { bootable: true } },
  { 'os-reserve': null },
  { name: 'i', disk_format: 'raw', container_format: 'bare', visibility: 'private', tags: ['t'], id: 'x', min_disk: 1 },
  [{ op: 'replace', path: '/name', value: 'n' }],
  [
    { op: 'add', path: '/locations/-', value: { url: 'swift://AUTH_x/box/o', metadata: {} } },
    { op: 'remove', path: '/x' },
  ],
]

const parameters = [
  'limit marker end_marker prefix delimiter reverse format path name sort sort_key sort_dir offset status all_tenants',
  'visibility owner size_min size_max created_at tag member_status protected os_hidden versions multipart-manifest',
  'cascade force with_count metadata user.id scope.project.id role.id include_names domain_id enabled bulk-delete',
].flatMap((line) => line.split(' '))

const parameterValues = [
  '',
  '1',
  '-1',
  '10001',
  '0x10',
  'true',
  'name:asc',
  'gt:2020-01-01',
  'in:a,"b',
  '{}',
  "{'a':'b'}",
]
const moreValues = ['%00', '%ff', '%f0%9f%98%80', '%', 'x'.repeat(2000), '%27%22%3b--', 'null', '9'.repeat(40)]

const headerChoices: [string, string[]][] = [
  [
    'content-type',
    ['application/json', 'application/octet-stream', 'nonsense', '', 'application/openstack-images-v2.1-json-patch'],
  ],
  ['accept', ['*/*', 'application/json', 'text/xml', 'image/png', ';;q=,', 'a/b;q=9e999']],
  ['range', ['bytes=0-0', 'bytes=-1', 'bytes=5-2,', 'bytes=0-,0-,0-,0-', `bytes=${'0-1,'.repeat(500)}`, 'x']],
  ['if-none-match', ['*', '""', 'x', 'W/"x"']],
  ['if-match', ['*', 'x']],
  ['if-modified-since', ['0', 'Tue, 02 Jan 2024 03:04:05 GMT', 'Tue, 99 Foo']],
  ['etag', ['x', '0'.repeat(32), '"']],
  ['x-copy-from', ['/box/o', 'box', '/', '%00/%ff', '/box/absent']],
  ['destination', ['/box/p', 'box', '//', '%ff']],
  ['destination-account', ['AUTH_x', '', '%']],
  ['x-object-meta-a', ['v', '', 'v'.repeat(300), '\xff']],
  ['x-container-meta-a', ['v', '']],
  ['x-storage-policy', ['gold', 'STANDARD']],
  ['x-subject-token', ['x', '\xe4']],
  ['openstack-api-version', ['volume 3.70', 'volume 3.999', 'volume x', 'image 2', 'volume latest', 'volume 3.-1']],
  ['x-auth-user', ['a:b', ':', 'bob:bob']],
  ['x-auth-key', ['x']],
  ['host', ['"<x>"', 'a b', '[::1]:99999', '']],
  ['x-forwarded-proto', ['javascript']],
  ['expect', ['100-continue']],
  ['content-encoding', ['gzip', 'identity', 'x']],
  ['accept-encoding', ['gzip;q=0', '*']],
  ['upgrade', ['websocket']],
]

/** Some node of a copy of the value is another one, or gone, or deep. */
function mutated(value: Json, dice: Dice): Json {
  if (dice.oneIn(6)) return dice.oneOf(values)
  if (Array.isArray(value)) return dice.oneIn(8) ? [...value, ...value] : value.map((item) => mutated(item, dice))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(() => !dice.oneIn(12))
  if (dice.oneIn(10)) entries.push([`${dice.oneOf(values)}`, dice.oneOf(values)])
  return Object.fromEntries(entries.map(([key, item]) => [key, mutated(item, dice)]))
}

t.test(`hostile requests (seed ${seed})`, async (t) => {
  const complaints: string[] = []
  const log = pino({ level: 'error' }, { write: (line) => complaints.push(line) })
  const server = await startServer(t, { nbd: true, log, limits: { idleMs: 5_000 } })
  const admin = await server.login()
  const bob = await server.login(await server.createUser({ name: 'bob' }))
  const volumes = `/volume/v3/${bob.projectId}`
  await bob.ask('box', { method: 'PUT' })
  await bob.ask('box/o', { method: 'PUT', body: 'object' })
  const { volume } = (await bob.ask(`${volumes}/volumes`, { method: 'POST', json: { volume: { size: 1 } } })).json
  const image = { name: 'i', disk_format: 'raw', container_format: 'bare' }
  const { id: imageId } = (await bob.ask('/image/v2/images', { method: 'POST', json: image })).json

  const ids = [
    volume.id,
    imageId,
    bob.userId,
    bob.projectId,
    'x',
    '%00',
    '%2f',
    'x'.repeat(400),
    '00000000-0000-0000-0000-000000000000',
  ]
  const account = new URL(bob.storageUrl).pathname
  const routes = server.routes()
  t.ok(routes.length > 80, `${routes.length} routes`)
  const paths = [
    ...routes,
    ...routes.filter((path) => path.startsWith('/volume/v3/')).map((path) => path.replace('/volume/v3', volumes)),
    ...[
      '/',
      '/v3',
      '/v3/auth/tokens',
      '/v3/auth/catalog',
      '/v3/auth/projects',
      '/v3/users',
      '/v3/users/ID',
      '/v3/projects',
    ],
    ...[
      '/v3/users/ID/password',
      '/v3/projects/ID',
      '/v3/roles',
      '/v3/role_assignments',
      '/v3/projects/ID/users/ID/roles/ID',
    ],
    ...['/v3/domains', '/v3/services', '/v3/endpoints', '/v3/ID', '/info', '/auth/v1.0', '/healthcheck', '/ID'],
    ...['', '/', '/box', '/box/', '/box/o', '/box/ID', '/ID', '/ID/ID', '/box//', '/box/../o'].map(
      (path) => account + path,
    ),
    ...['/v1', '/v1/', '/v1/AUTH_ID', '/v1/ID/box/o', '/v1.0/AUTH_ID'],
    ...[
      '',
      '/',
      '/versions',
      '/v2/images',
      '/v2/images/ID',
      '/v2/images/ID/file',
      '/v2/images/ID/tags/ID',
      '/v2/schemas/image',
    ].map((path) => `/image${path}`),
    ...['/v2/images/ID/actions/deactivate', '/v2/info/stores', '/v2/ID', '/v2/images/ID/members'].map(
      (path) => `/image${path}`,
    ),
    ...['', '/', '/v3'].map((path) => `/volume${path}`),
    ...[
      '/volumes',
      '/volumes/detail',
      '/volumes/ID',
      '/volumes/ID/action',
      '/volumes/ID/metadata',
      '/volumes/ID/metadata/ID',
    ].map((path) => volumes + path),
    ...[
      '/snapshots',
      '/snapshots/ID',
      '/snapshots/ID/metadata',
      '/snapshots/ID/action',
      '/attachments',
      '/attachments/ID',
    ].map((path) => volumes + path),
    ...[
      '/attachments/ID/action',
      '/types',
      '/types/ID',
      '/limits',
      '/os-quota-sets/ID',
      '/ID',
      '/backups',
      '/volumes/summary',
    ].map((path) => volumes + path),
  ]
  const methods = [
    'GET',
    'GET',
    'HEAD',
    'PUT',
    'POST',
    'POST',
    'DELETE',
    'PATCH',
    'COPY',
    'OPTIONS',
    ...METHODS.filter((name) => name !== 'CONNECT'),
  ]
  const dice = new Dice(seed)

  const draw = () => {
    const method = dice.oneOf(methods)
    let path = dice.oneOf(paths).replaceAll('ID', () => dice.oneOf(ids))
    const query = Array.from({ length: dice.below(4) }, () => {
      const value = dice.oneIn(2) ? dice.oneOf(parameterValues) : dice.oneOf(moreValues)
      return `${dice.oneOf(parameters)}=${value}`
    })
    if (query.length > 0) path += `?${query.join('&')}`
    const headers: Record<string, string> = {}
    if (!dice.oneIn(8)) headers['x-auth-token'] = dice.oneIn(4) ? admin.token : bob.token
    for (let i = dice.below(4); i > 0; i--) {
      const [name, choices] = dice.oneOf(headerChoices)
      headers[name] = dice.oneOf(choices)
    }
    let body = ''
    if (dice.oneIn(8))
      body = dice.oneOf(['', '{', '[', 'null', '"', '{"a":', `${'['.repeat(5000)}`, '\xff\xfe', '{"volume":{}}'])
    else if (!dice.oneIn(4)) body = JSON.stringify(mutated(dice.oneOf(bodies), dice)) ?? ''
    return { method, path, headers, body }
  }

  /** The bytes of a request that is sent by hand: perhaps with a wrong length, perhaps in chunks, perhaps not to its end. */
  const drawPieces = ({ method, path, headers, body }: ReturnType<typeof draw>): Buffer[] => {
    const { host: _, ...others } = headers
    const chunked = dice.oneIn(3)
    const framing: Record<string, string> = chunked
      ? { 'transfer-encoding': 'chunked' }
      : { 'content-length': String(body.length + dice.below(5)) }
    const lines = Object.entries({ ...others, host: 'x', connection: 'close', ...framing })
    const head = `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
    const length = dice.oneOf([body.length, body.length, 0, 5, 2 ** 40]).toString(16)
    const sent = Buffer.from(head + (chunked ? `${length}\r\n${body}\r\n0\r\n\r\n` : body), 'latin1')
    const end = dice.oneIn(2) ? sent.length : 1 + dice.below(sent.length)
    const pieces: Buffer[] = []
    for (let at = 0; at < end; ) {
      const next = Math.min(end, at + 1 + dice.below(Math.ceil(sent.length / 3)))
      pieces.push(sent.subarray(at, next))
      at = next
    }
    return pieces
  }

  const suspicious: string[] = []
  const one = async () => {
    // All of it is drawn before anything is waited for: what others do meanwhile does not change what comes.
    const drawn = draw()
    const pieces = dice.oneIn(6) ? drawPieces(drawn) : undefined
    const reset = dice.oneIn(2)
    const { method, path, headers, body } = drawn
    if (pieces !== undefined) return drip(server.url, pieces, reset)
    const { expect, upgrade, ...sent } = headers
    try {
      const answer = await ask(`${server.url}${path}`, { method, headers: sent, ...(body !== '' && { body }) })
      if (answer.status >= 500 && ![501, 503].includes(answer.status))
        suspicious.push(`${answer.status} ${JSON.stringify(drawn)}`)
    } catch (error) {
      suspicious.push(`${String(error)} ${JSON.stringify(drawn)}`)
    }
  }
  const some = async (count: number) => {
    for (let done = 0; done < count; done += 8) await Promise.all(Array.from({ length: 8 }, one))
  }
  // Whatever is made once (compiled code, caches, pools) is there after the first third.
  await some(requests / 3)
  const warm = memory()
  await some((requests * 2) / 3)
  const end = memory()

  t.same(suspicious.slice(0, 5), [])
  t.same(complaints.slice(0, 5), [])
  const measured = (requests * 2) / 3
  const grown = { heap: end.heap - warm.heap, resident: end.resident - warm.resident }
  const inKiB = (bytes: number) => `${Math.round(bytes / KiB)} KiB`
  t.comment(`${requests} requests; in the last ${Math.round(measured)} the heap grew by ${inKiB(grown.heap)}`)
  t.comment(`resident memory by ${inKiB(grown.resident)}`)
  // A leak of one request's head is more than a kibibyte each.
  t.ok(grown.heap < 3 * MiB + measured * 512, `the heap grew by ${inKiB(grown.heap)}`)
  t.ok(grown.resident < 128 * MiB, `resident memory grew by ${inKiB(grown.resident)}`)

  await bob.ask('after', { method: 'PUT' })
  await bob.ask('after/o', { method: 'PUT', body: 'as good as before' })
  t.equal((await bob.ask('after/o')).text, 'as good as before')
  t.equal((await ask(`${server.url}/healthcheck`)).text, 'OK')
  await server.close()
  const check = await atoll('check', '--content', '--data', server.dataDir)
  t.equal(check.exitCode, 0, check.all)
})

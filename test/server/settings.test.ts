import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveSettings } from '../../src/server/settings.js'
import { KiB, MiB, TiB } from '../../src/lib/units.js'

function config(t: { testdir(): string }, text: string): string {
  const path = join(t.testdir(), 'atoll.yaml')
  writeFileSync(path, text)
  return path
}

t.test('the defaults are what the documentation says', async (t) => {
  t.match(resolveSettings({}, {}, undefined), {
    data: './data',
    http: { host: '127.0.0.1', port: 8780 },
    nbd: [
      { kind: 'tcp', host: '127.0.0.1', port: 10809 },
      { kind: 'unix', path: 'data/nbd.sock' },
    ],
    cache: 'buffered',
    io: 'auto',
    logLevel: 'info',
    nbdInsecureAllowRemote: false,
    httpLimits: {
      connections: 4096,
      connectionsOfClient: undefined,
      uploads: 128,
      uploadRate: 1024,
      idleMs: 60_000,
    },
    nbdLimits: {
      connections: 4096,
      connectionsOfExport: 64,
      connectionsOfProject: undefined,
      handshakeSeconds: 10,
      idleSeconds: 0,
      peerTimeoutSeconds: 90,
    },
    scrub: { bytesPerSecond: 16 * MiB, intervalMs: 7 * 86_400_000 },
  })
})

t.test('a flag wins over the environment, that over the file, that over the default', async (t) => {
  const file = config(t, 'cache: direct\nio: threads\nlog-level: warn\n')
  const env = { ATOLL_IO: 'uring', ATOLL_LOG_LEVEL: 'error' }
  const settings = resolveSettings({ 'log-level': 'debug' }, env, file)
  t.match(settings, { cache: 'direct', io: 'uring', logLevel: 'debug', data: './data' })
})

t.test('the file may be named by the environment, and may be JSON', async (t) => {
  const file = config(t, '{"data": "/srv/a", "nbd": "unix:/run/x.sock"}')
  const settings = resolveSettings({}, { ATOLL_CONFIG: file }, undefined)
  t.match(settings, { data: '/srv/a', nbd: [{ kind: 'unix', path: '/run/x.sock' }] })
})

t.test('several NBD addresses: repeated, with commas, as a list', async (t) => {
  const two = [
    { kind: 'tcp', host: '127.0.0.1', port: 1 },
    { kind: 'unix', path: '/x' },
  ]
  t.same(resolveSettings({ nbd: ['127.0.0.1:1', 'unix:/x'] }, {}, undefined).nbd, two)
  t.same(resolveSettings({}, { ATOLL_NBD: '127.0.0.1:1, unix:/x' }, undefined).nbd, two)
  t.same(resolveSettings({}, {}, config(t, 'nbd: [127.0.0.1:1, unix:/x]')).nbd, two)
})

t.test("the operator's socket lies in the data directory wherever that is", async (t) => {
  t.match(resolveSettings({ data: '/srv/b' }, {}, undefined).nbd, [{}, { path: '/srv/b/nbd.sock' }])
})

t.test('a wrong value is refused with the name of its source', async (t) => {
  t.throws(() => resolveSettings({ cache: 'none' }, {}, undefined), {
    message: /^--cache: expected buffered or direct/,
  })
  t.throws(() => resolveSettings({}, { ATOLL_HTTP: 'x' }, undefined), { message: /^ATOLL_HTTP: x is not an address/ })
  const file = config(t, 'io: fast')
  t.throws(() => resolveSettings({}, {}, file), {
    message: `${file}: io: expected auto or uring or threads but received "fast"`,
  })
})

t.test('limits are whole numbers within their bounds', async (t) => {
  const limits = resolveSettings({ 'nbd-max-connections': '7' }, { ATOLL_NBD_IDLE_TIMEOUT: '60' }, undefined).nbdLimits
  t.same(limits, {
    connections: 7,
    connectionsOfExport: 64,
    connectionsOfProject: undefined,
    handshakeSeconds: 10,
    idleSeconds: 60,
    peerTimeoutSeconds: 90,
  })
  const given = { 'http-max-uploads': 3, 'http-min-upload-rate': '0', 'http-idle-timeout': '5' }
  t.same(resolveSettings(given, {}, undefined).httpLimits, {
    connections: 4096,
    connectionsOfClient: undefined,
    uploads: 3,
    uploadRate: 0,
    idleMs: 5000,
  })
  for (const wrong of ['0', '-1', '1.5', 'many', ' ', '100001'])
    t.throws(() => resolveSettings({ 'nbd-max-connections': wrong }, {}, undefined), {
      message: /^--nbd-max-connections: expected a whole number from 1 to 100000/,
    })
})

t.test('the rate of the scrub is a size as people write it, or 0', async (t) => {
  const rateOf = (given: unknown) => resolveSettings({ 'scrub-rate': given }, {}, undefined).scrub.bytesPerSecond
  for (const [given, bytes] of [
    ['0', 0],
    [0, 0],
    ['4096', 4096],
    [4096, 4096],
    ['4K', 4 * KiB],
    ['16m', 16 * MiB],
    ['1.5MiB', 1.5 * MiB],
    ['2 TiB', 2 * TiB],
  ] as const)
    t.equal(rateOf(given), bytes, String(given))
  for (const wrong of ['', '-1', '16MB', '16 M B', 'M', '1e6', '4095', 1, 0.5, Number.NaN, true, '99999999999999T'])
    t.throws(() => rateOf(wrong), { message: /^--scrub-rate: expected / }, String(wrong))
  t.equal(resolveSettings({}, { ATOLL_SCRUB_INTERVAL: '1' }, undefined).scrub.intervalMs, 86_400_000)
  t.throws(() => resolveSettings({ 'scrub-interval': '3651' }, {}, undefined), { message: /^--scrub-interval: / })
})

t.test('the space reserve is a size of at least 8 MiB, or 0', async (t) => {
  const reserveOf = (given: unknown) => resolveSettings({ 'space-reserve': given }, {}, undefined).spaceReserveBytes
  t.equal(resolveSettings({}, {}, undefined).spaceReserveBytes, 128 * MiB)
  for (const [given, bytes] of [
    ['0', 0],
    [0, 0],
    ['8M', 8 * MiB],
    ['2 TiB', 2 * TiB],
  ] as const)
    t.equal(reserveOf(given), bytes, String(given))
  for (const wrong of ['', '-1', '16MB', '8191K', 1, 0.5, Number.NaN, true, '99999999999999T'])
    t.throws(
      () => reserveOf(wrong),
      { message: /^--space-reserve: expected 0, or a size of at least 8M/ },
      String(wrong),
    )
})

t.test('a setting that does not exist is refused', async (t) => {
  t.throws(() => resolveSettings({}, {}, config(t, 'chace: direct')), { message: /chace: there is no such setting/ })
})

t.test('a file that cannot be read is refused', async (t) => {
  t.throws(() => resolveSettings({}, {}, '/nowhere/atoll.yaml'), { code: 'config_unreadable' })
  t.throws(() => resolveSettings({}, {}, config(t, 'a: [')), { code: 'config_unreadable' })
  t.throws(() => resolveSettings({}, {}, config(t, '- a')), { code: 'config_unreadable' })
})

t.test('an empty file changes nothing', async (t) => {
  t.match(resolveSettings({}, {}, config(t, '')), { data: './data' })
})

t.test('trusted proxies come as a flag, a variable or a list, and "true" is refused with what to write', async (t) => {
  const trustOf = (given: unknown) => resolveSettings({ 'trust-proxy': given }, {}, undefined).trustProxy
  t.equal(resolveSettings({}, {}, undefined).trustProxy('127.0.0.1', 0), false)
  t.equal(trustOf('loopback,10.0.0.0/8')('10.1.2.3', 0), true)
  t.equal(trustOf(1)('8.8.8.8', 0), true)
  const { trustProxy } = resolveSettings({}, {}, config(t, 'trust-proxy: [10.0.0.7, loopback]'))
  t.equal(trustProxy('10.0.0.7', 0), true)
  for (const wrong of [true, 'true'])
    t.throws(() => trustOf(wrong), {
      message: /^--trust-proxy: expected the proxies' addresses such as .*, got "?true"?$/,
    })
  t.throws(() => resolveSettings({}, { ATOLL_TRUST_PROXY: 'yes' }, undefined), { message: /^ATOLL_TRUST_PROXY: / })
})

t.test('a public URL with a space or a control character is refused', async (t) => {
  for (const wrong of ['http://x/a b', 'http://x/\n', 'http://x/\u001b[2J', ' http://x'])
    t.throws(() => resolveSettings({ 'public-url': wrong }, {}, undefined), {
      message: /^--public-url: expected a URL/,
    })
})

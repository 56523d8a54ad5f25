import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { type Given, resolveSettings } from '../../../src/server/settings/settings.js'
import {
  camelCase,
  environmentName,
  type ServeSettings,
  type SettingName,
  settingNames,
  settings,
} from '../../../src/server/settings/table.js'
import { KiB, MiB, TiB } from '../../../src/lib/units.js'

function config(t: { testdir(): string }, text: string): string {
  const path = join(t.testdir(), 'atoll.yaml')
  writeFileSync(path, text)
  return path
}

t.test('the defaults are the documented ones', async (t) => {
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
    publicUrl: undefined,
    httpMaxConnections: 4096,
    httpMaxClientConnections: undefined,
    httpMaxUploads: 128,
    httpMinUploadRate: 1024,
    httpIdleTimeout: 60,
    nbdMaxConnections: 4096,
    nbdMaxExportConnections: 64,
    nbdMaxProjectConnections: undefined,
    nbdHandshakeTimeout: 10,
    nbdIdleTimeout: 0,
    nbdPeerTimeout: 90,
    nbdTls: 'off',
    nbdTlsVerifyPeer: false,
    scrubRate: 16 * MiB,
    scrubInterval: 7,
    spaceReserve: 128 * MiB,
  })
})

t.test('a flag takes precedence over the environment, that over the file, and that over the default', async (t) => {
  const file = config(t, 'cache: direct\nio: threads\nlog-level: warn\n')
  const env = { ATOLL_IO: 'uring', ATOLL_LOG_LEVEL: 'error' }
  const resolved = resolveSettings({ 'log-level': 'debug' }, env, file)
  t.match(resolved, { cache: 'direct', io: 'uring', logLevel: 'debug', data: './data' })
})

t.test('each setting follows the same precedence', async (t) => {
  const samples: Partial<Record<SettingName, [unknown, unknown, unknown]>> = {
    http: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'],
    metrics: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'],
    'nbd-public': ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'],
    nbd: [['unix:/1'], 'unix:/2', ['unix:/3']],
    cache: ['direct', 'buffered', 'direct'],
    io: ['uring', 'threads', 'auto'],
    log: ['json', 'pretty', 'auto'],
    'log-level': ['warn', 'error', 'debug'],
    'nbd-tls': ['off', 'required', 'opportunistic'],
    catalog: ['postgres://one/a', 'postgres://two/a', 'sqlite'],
    'public-url': ['http://one', 'http://two', 'http://three'],
    'scrub-rate': ['11M', '12M', '13M'],
    'space-reserve': ['11M', '12M', '13M'],
    'nbd-tls-verify-peer': [true, 'no', true],
    'nbd-insecure-allow-remote': [true, 'no', true],
    'trust-proxy': ['10.0.0.1', '10.0.0.2', ['10.0.0.3']],
  }
  for (const name of settingNames) {
    // Whole numbers within all bounds, and texts.
    const isNumber = settings[name].type.expected.startsWith('a whole number')
    const [flag, variable, key] = samples[name] ?? (isNumber ? [11, '12', 13] : ['1', '2', '3'])
    const file = config(t, stringify({ [name]: key }))
    const env = { [environmentName(name)]: String(variable) }
    const ofOne = (given: Given) => JSON.stringify(resolvedValue(resolveSettings(given, {}, undefined), name))
    const resolved = (flags: Given, environment: NodeJS.ProcessEnv) =>
      JSON.stringify(resolvedValue(resolveSettings(flags, environment, file), name))
    t.equal(resolved({ [name]: flag }, env), ofOne({ [name]: flag }), `--${name} before the environment`)
    t.equal(resolved({}, env), ofOne({ [name]: variable }), `${environmentName(name)} before the file`)
    t.equal(resolved({}, {}), ofOne({ [name]: key }), `${name} in the file before the default`)
  }
})

/** Functions are compared by what they return. */
function resolvedValue(resolved: ServeSettings, name: SettingName): unknown {
  const value = resolved[camelCase(name)]
  return typeof value === 'function' ? ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((each) => value(each, 0)) : value
}

t.test('a list from a flag replaces the list of the file', async (t) => {
  const file = config(t, 'nbd: [127.0.0.1:1, unix:/x]')
  t.same(resolveSettings({ nbd: ['unix:/y'] }, {}, file).nbd, [{ kind: 'unix', path: '/y' }])
})

t.test('a setting given twice in the file is refused', async (t) => {
  t.throws(() => resolveSettings({}, {}, config(t, 'io: auto\nio: uring\n')), {
    message: /^cannot read the configuration file .*: Map keys must be unique at line 2/,
  })
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

t.test('an invalid value is refused with its source', async (t) => {
  t.throws(() => resolveSettings({ cache: 'none' }, {}, undefined), {
    message: '--cache: expected buffered or direct, got "none"',
  })
  t.throws(() => resolveSettings({}, { ATOLL_HTTP: 'x' }, undefined), {
    message: 'ATOLL_HTTP: expected HOST:PORT or [IPV6]:PORT, or none, got "x"',
  })
  const file = config(t, 'io: fast')
  t.throws(() => resolveSettings({}, {}, file), {
    message: `${file}: io: expected auto, uring or threads, got "fast"`,
  })
})

t.test('limits are whole numbers within their bounds', async (t) => {
  const nbd = resolveSettings({ 'nbd-max-connections': '7' }, { ATOLL_NBD_IDLE_TIMEOUT: '60' }, undefined)
  t.match(nbd, { nbdMaxConnections: 7, nbdMaxExportConnections: 64, nbdIdleTimeout: 60 })
  const given = { 'http-max-uploads': 3, 'http-min-upload-rate': '0', 'http-idle-timeout': '5' }
  t.match(resolveSettings(given, {}, undefined), { httpMaxUploads: 3, httpMinUploadRate: 0, httpIdleTimeout: 5 })
  for (const wrong of ['0', '-1', '1.5', 'many', ' ', '100001'])
    t.throws(() => resolveSettings({ 'nbd-max-connections': wrong }, {}, undefined), {
      message: /^--nbd-max-connections: expected a whole number from 1 to 100000/,
    })
})

t.test('the scrub rate is a size of at least 4 KiB, or 0', async (t) => {
  const rateOf = (given: unknown) => resolveSettings({ 'scrub-rate': given }, {}, undefined).scrubRate
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
  t.equal(resolveSettings({}, { ATOLL_SCRUB_INTERVAL: '1' }, undefined).scrubInterval, 1)
  t.throws(() => resolveSettings({ 'scrub-interval': '3651' }, {}, undefined), { message: /^--scrub-interval: / })
})

t.test('the space reserve is a size of at least 8 MiB, or 0', async (t) => {
  const reserveOf = (given: unknown) => resolveSettings({ 'space-reserve': given }, {}, undefined).spaceReserve
  t.equal(resolveSettings({}, {}, undefined).spaceReserve, 128 * MiB)
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

t.test('an unknown setting in the file is refused with the nearest name', async (t) => {
  const refusalOf = (key: string) => {
    const file = config(t, stringify({ [key]: 'x' }))
    try {
      resolveSettings({}, {}, file)
    } catch (error) {
      return (error as Error).message.replace(`${file}: `, '')
    }
    return 'none'
  }
  const nearest: [string, SettingName][] = [
    ['chace', 'cache'],
    ['log_level', 'log-level'],
    ['ATOLL_LOG_LEVEL', 'log-level'],
    ['--io', 'io'],
    ['http-max-conections', 'http-max-connections'],
    ['nbd-tls-crt', 'nbd-tls-cert'],
  ]
  for (const [key, name] of nearest)
    t.equal(refusalOf(key), `${key}: there is no such setting; did you mean "${name}"?`)
  for (const key of ['frobnicate', '__proto__x', 'constructor', 'x'.repeat(100_000)])
    t.equal(refusalOf(key), `${key}: there is no such setting (atoll serve --help lists them)`)
})

t.test('a list, map or empty value for a scalar is refused with file, key and what was expected', async (t) => {
  const cases: [string, string][] = [
    ['http-max-uploads: [1, 2]', 'http-max-uploads: expected a whole number from 1 to 10000, got a list'],
    ['data: {path: /srv}', 'data: expected a directory path, got a map'],
    ['cache: [direct]', 'cache: expected buffered or direct, got a list'],
    ['http:', 'http: expected HOST:PORT or [IPV6]:PORT, or none, got an empty value'],
    ['nbd: {a: 1}', 'nbd: expected HOST:PORT, [IPV6]:PORT or unix:PATH, or a list of these, got a map'],
    ['nbd: []', 'nbd: expected HOST:PORT, [IPV6]:PORT or unix:PATH, or a list of these, got a list'],
    ['nbd: [unix:/x, [y]]', 'nbd: expected HOST:PORT, [IPV6]:PORT or unix:PATH, got a list'],
    ['nbd-tls-verify-peer: [true]', 'nbd-tls-verify-peer: expected true or false, got a list'],
    ['public-url: [http://x]', 'public-url: expected a URL that starts with http:// or https://, got a list'],
    ['scrub-rate: {}', 'scrub-rate: expected 0, or a size of at least 4K such as 16M, got a map'],
    ['nbd-tls-psk: 7', 'nbd-tls-psk: expected a file path, got 7'],
  ]
  for (const [content, message] of cases) {
    const file = config(t, content)
    t.throws(() => resolveSettings({}, {}, file), { message: `${file}: ${message}` })
  }
})

t.test('a file that cannot be read is refused', async (t) => {
  t.throws(() => resolveSettings({}, {}, '/nowhere/atoll.yaml'), { code: 'config_unreadable' })
  t.throws(() => resolveSettings({}, {}, config(t, 'a: [')), { code: 'config_unreadable' })
  for (const [content, what] of [
    ['- a', 'a list'],
    ['7', '7'],
    ['data', '"data"'],
  ] as const) {
    const file = config(t, content)
    t.throws(() => resolveSettings({}, {}, file), {
      message: `cannot read the configuration file ${file}: expected settings such as "data: /srv/atoll", got ${what}`,
    })
  }
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

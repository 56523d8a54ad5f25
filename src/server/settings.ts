/**
 * The settings of `atoll serve`. Each can be given by a flag, by the environment or in a configuration file; a flag wins
 * over the environment, that over the file, that over the default.
 *
 * The file is YAML (and so may be JSON), with the names of the flags as keys:
 *
 *   data: /srv/atoll
 *   nbd: [127.0.0.1:10809, unix:/run/atoll/nbd.sock]
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import {
  type HostPort,
  type ListenAddress,
  parseHostPort,
  parseListenAddress,
  type TlsMode,
  tlsModes,
  withoutTrailingSlashes,
} from '../lib/addresses.js'
import { asError, defineError } from '../lib/errors.js'
import { type LogLevel, logLevels } from '../lib/log.js'
import { type ProxyTrust, parseTrustedProxies, trustNobody } from '../lib/trusted_proxies.js'
import { KiB, MiB, parseSize } from '../lib/units.js'

export const BadSetting = defineError('bad_setting', 400, '%s: %s')
export const ConfigUnreadable = defineError('config_unreadable', 400, 'the configuration file %s cannot be read: %s')

export interface ServeSettings {
  data: string
  /** undefined: no HTTP. `fd`: the socket is there already, and is this descriptor. */
  http: (HostPort & { fd?: number }) | undefined
  nbd: ListenAddress[]
  cache: 'buffered' | 'direct'
  io: 'auto' | 'uring' | 'threads'
  reactors: number
  busyPollMicroseconds: number
  logLevel: LogLevel
  log: 'auto' | 'pretty' | 'json'
  /** Under which URL clients see the HTTP server; undefined: what they asked for. */
  publicUrl: string | undefined
  /** Proxies that may say on whose behalf they ask. */
  trustProxy: ProxyTrust
  /** Where tenants' machines reach the NBD server; undefined: where it listens. */
  nbdPublic: HostPort | undefined
  nbdInsecureAllowRemote: boolean
  nbdTls: NbdTlsSettings
  /** Paths of files in PEM; undefined: HTTP without TLS. */
  httpTls: { cert: string | undefined; key: string | undefined }
  httpLimits: {
    connections: number
    /** Of one client address; undefined: a quarter of all. */
    connectionsOfClient: number | undefined
    uploads: number
    uploadRate: number
    idleMs: number
  }
  nbdLimits: {
    connections: number
    connectionsOfExport: number
    /** undefined: half of all. */
    connectionsOfProject: number | undefined
    handshakeSeconds: number
    idleSeconds: number
    peerTimeoutSeconds: number
  }
  /** Of stored content. 0 bytes a second: none. */
  scrub: { bytesPerSecond: number; intervalMs: number }
  /** On each file system of the data directory. 0: none. */
  spaceReserveBytes: number
}

export interface NbdTlsSettings {
  /** Of TCP listeners that do not say it themselves. */
  mode: TlsMode
  /** Paths of files in PEM. */
  cert: string | undefined
  key: string | undefined
  /** Clients' certificates are verified against it. */
  ca: string | undefined
  /** Clients without a certificate are refused. */
  crl: string | undefined
  verifyPeer: boolean
  /** A file of GnuTLS's psktool. */
  psk: string | undefined
  /** A GnuTLS priority string. */
  priority: string | undefined
}

/** The name of a setting, as flag and in the file. */
export type SettingName =
  | 'data'
  | 'http'
  | 'nbd'
  | 'cache'
  | 'io'
  | 'reactors'
  | 'busy-poll'
  | 'log-level'
  | 'log'
  | 'public-url'
  | 'trust-proxy'
  | 'nbd-public'
  | 'nbd-insecure-allow-remote'
  | 'http-tls-cert'
  | 'http-tls-key'
  | 'http-max-connections'
  | 'http-max-client-connections'
  | 'http-max-uploads'
  | 'http-min-upload-rate'
  | 'http-idle-timeout'
  | 'nbd-max-connections'
  | 'nbd-max-export-connections'
  | 'nbd-max-project-connections'
  | 'nbd-handshake-timeout'
  | 'nbd-idle-timeout'
  | 'nbd-peer-timeout'
  | 'nbd-tls'
  | 'nbd-tls-cert'
  | 'nbd-tls-key'
  | 'nbd-tls-ca'
  | 'nbd-tls-crl'
  | 'nbd-tls-verify-peer'
  | 'nbd-tls-psk'
  | 'nbd-tls-priority'
  | 'scrub-rate'
  | 'scrub-interval'
  | 'space-reserve'

export interface Setting {
  name: SettingName
  /** What the flag takes; undefined: nothing, it is a switch. */
  argument?: string
  repeatable?: true
  /** For --help. */
  words: string
}

export const settings: readonly Setting[] = [
  { name: 'data', argument: 'dir', words: 'the data directory; made when absent (default: ./data)' },
  {
    name: 'http',
    argument: 'host:port',
    words: 'where the HTTP APIs listen; none: they do not (default: 127.0.0.1:8780)',
  },
  {
    name: 'nbd',
    argument: 'address',
    repeatable: true,
    words:
      'where NBD listens: HOST:PORT for tenants (attachments only), unix:PATH for operators (everything, by ID or ' +
      'unique name); ' +
      'may be repeated (default: 127.0.0.1:10809 and unix:DIR/nbd.sock). ?tls=MODE behind one of them says what it does ' +
      'other than --nbd-tls',
  },
  { name: 'cache', argument: 'mode', words: 'buffered: through the page cache; direct: O_DIRECT (default: buffered)' },
  {
    name: 'io',
    argument: 'way',
    words: 'uring, threads, or auto: io_uring where the kernel allows it (default: auto)',
  },
  {
    name: 'reactors',
    argument: 'count',
    words: 'threads that serve NBD; 0: one for each core, at most 8 (default: 0)',
  },
  {
    name: 'busy-poll',
    argument: 'microseconds',
    words:
      'how long these threads look for the next request before they sleep, while most requests come within that time: ' +
      'shorter waits for clients, more processor time; up to eight times as long for the answers of a disk; ' +
      '0: never (default: 50)',
  },
  { name: 'log-level', argument: 'level', words: `one of ${logLevels.join(', ')} (default: info)` },
  { name: 'log', argument: 'form', words: 'json, pretty, or auto: pretty on a terminal (default: auto)' },
  {
    name: 'public-url',
    argument: 'url',
    words: 'the URL under which clients reach the HTTP APIs (default: as they ask)',
  },
  {
    name: 'trust-proxy',
    argument: 'proxies',
    words:
      'believe X-Forwarded-For, -Proto and -Host of these proxies: addresses and networks with commas between, loopback, ' +
      'linklocal, uniquelocal; or how many proxies every request passes (default: none)',
  },
  {
    name: 'nbd-public',
    argument: 'host:port',
    words: 'the address that attachments name to clients (default: where NBD listens)',
  },
  {
    name: 'nbd-insecure-allow-remote',
    words:
      'let NBD listen beyond loopback WITHOUT ENCRYPTION: whoever can listen on the network reads and changes the data, ' +
      'and learns the export names',
  },
  {
    name: 'nbd-tls',
    argument: 'mode',
    words:
      'TLS on TCP: off, opportunistic (for clients that ask), or required. Unix sockets have none but with ?tls=MODE ' +
      '(default: off)',
  },
  {
    name: 'nbd-tls-cert',
    argument: 'file',
    words: "the server's certificate and those between it and its CA (PEM)",
  },
  { name: 'nbd-tls-key', argument: 'file', words: 'its private key (PEM, not encrypted, not readable by others)' },
  {
    name: 'nbd-tls-ca',
    argument: 'file',
    words: "the CA of clients' certificates (PEM): those that clients show must be of it",
  },
  { name: 'nbd-tls-crl', argument: 'file', words: 'certificates of clients that their CA has revoked (a CRL, PEM)' },
  {
    name: 'http-tls-cert',
    argument: 'file',
    words:
      "serve HTTPS, and no plain HTTP: the server's certificate and those between it and its CA (PEM). Both files are read " +
      'again when they change, and at SIGHUP',
  },
  { name: 'http-tls-key', argument: 'file', words: 'its private key (PEM, not encrypted, not readable by others)' },
  {
    name: 'http-max-connections',
    argument: 'count',
    words: 'HTTP connections at one time, 1 to 100000; for further ones idle connections are closed (default: 4096)',
  },
  {
    name: 'http-max-client-connections',
    argument: 'count',
    words:
      'HTTP connections of one client address (IPv6: of one /64) at one time, 1 to 100000; proxies of --trust-proxy are ' +
      'exempt (default: a quarter of all)',
  },
  {
    name: 'http-max-uploads',
    argument: 'count',
    words:
      'uploads at one time, 1 to 10000, shared between projects: one alone may have half of them; further ones are told to ' +
      'try again. Each may hold 16 MiB of memory, and 4 MiB while it stands (default: 128)',
  },
  {
    name: 'http-min-upload-rate',
    argument: 'bytes',
    words:
      'bytes a second: uploads that bring less for as long as --http-idle-timeout are ended; 0: any rate will do (default: 1024)',
  },
  {
    name: 'http-idle-timeout',
    argument: 'seconds',
    words: 'cut HTTP clients that stand still in the middle of a request or an answer, 1 to 3600 (default: 60)',
  },
  {
    name: 'nbd-max-connections',
    argument: 'count',
    words: "NBD connections at one time, 1 to 100000; some are reserved for operators' sockets (default: 4096)",
  },
  {
    name: 'nbd-max-export-connections',
    argument: 'count',
    words: 'NBD connections of one attachment at one time, 1 to 100000 (default: 64)',
  },
  {
    name: 'nbd-max-project-connections',
    argument: 'count',
    words: "NBD connections of one project's attachments at one time, 1 to 100000 (default: half of all)",
  },
  {
    name: 'nbd-handshake-timeout',
    argument: 'seconds',
    words: 'how long an NBD client may take until it has named its export, 1 to 3600 (default: 10)',
  },
  {
    name: 'nbd-idle-timeout',
    argument: 'seconds',
    words: 'close NBD connections that ask for nothing for so long, up to 86400; 0: never (default: 0)',
  },
  {
    name: 'nbd-peer-timeout',
    argument: 'seconds',
    words: 'when an NBD client over TCP that vanished without a word is given up, 3 to 7200 (default: 90)',
  },
  { name: 'nbd-tls-verify-peer', words: 'refuse clients that show no certificate' },
  {
    name: 'nbd-tls-psk',
    argument: 'file',
    words: 'pre-shared keys, by GnuTLS psktool: lines of USER:HEXKEY; not readable by others',
  },
  {
    name: 'nbd-tls-priority',
    argument: 'string',
    words: 'which algorithms, as a GnuTLS priority string (default: with forward secrecy and authenticated encryption)',
  },
  {
    name: 'scrub-rate',
    argument: 'size',
    words:
      'how many bytes of stored content to read and verify a second, beside all else: a number, or one with K, M, G or T ' +
      'behind it; 0: none (default: 16M)',
  },
  {
    name: 'scrub-interval',
    argument: 'days',
    words: 'verify all content once in so many days, up to 3650; 0: over and over (default: 7)',
  },
  {
    name: 'space-reserve',
    argument: 'size',
    words: 'space held for deletions and logins on a full disk, at most 1/8 of it; 0 = none (default: 128M)',
  },
]

export type Given = Partial<Record<SettingName, unknown>>

export const environmentName = (name: string): string => `ATOLL_${name.toUpperCase().replaceAll('-', '_')}`

/**
 * Throws BadSetting, ConfigUnreadable. `flags`: what the command line says. `activated`: sockets were passed in, and they stand in
 * for the default addresses.
 */
export function resolveSettings(
  flags: Given,
  env: NodeJS.ProcessEnv,
  configPath: string | undefined,
  activated = false,
): ServeSettings {
  const file = configPath ?? env[environmentName('config')]
  const values = new Values([
    { given: flags, source: (name) => `--${name}` },
    { given: fromEnvironment(env), source: environmentName },
    ...(file ? [{ given: readConfig(file), source: (name: SettingName) => `${file}: ${name}` }] : []),
  ])
  const data = values.get('data', text, './data')
  return {
    data,
    http: values.get('http', httpAddress, activated ? undefined : { host: '127.0.0.1', port: 8780 }),
    nbd: values.get('nbd', (value) => texts(value).map(parseListenAddress), activated ? [] : defaultNbd(data)),
    cache: values.get('cache', oneOf('buffered', 'direct'), 'buffered'),
    io: values.get('io', oneOf('auto', 'uring', 'threads'), 'auto'),
    reactors: values.get('reactors', wholeNumber(0, 1024), 0),
    busyPollMicroseconds: values.get('busy-poll', wholeNumber(0, 1000), 50),
    logLevel: values.get('log-level', oneOf(...logLevels), 'info'),
    log: values.get('log', oneOf('auto', 'pretty', 'json'), 'auto'),
    publicUrl: values.get('public-url', url, undefined),
    trustProxy: values.get('trust-proxy', parseTrustedProxies, trustNobody),
    nbdPublic: values.get('nbd-public', (value) => parseHostPort(text(value)), undefined),
    nbdInsecureAllowRemote: values.get('nbd-insecure-allow-remote', yes, false),
    httpTls: {
      cert: values.get('http-tls-cert', text, undefined),
      key: values.get('http-tls-key', text, undefined),
    },
    httpLimits: {
      connections: values.get('http-max-connections', wholeNumber(1, 100_000), 4096),
      connectionsOfClient: values.get('http-max-client-connections', wholeNumber(1, 100_000), undefined),
      uploads: values.get('http-max-uploads', wholeNumber(1, 10_000), 128),
      uploadRate: values.get('http-min-upload-rate', wholeNumber(0, 1 << 30), 1024),
      idleMs: 1000 * values.get('http-idle-timeout', wholeNumber(1, 3600), 60),
    },
    nbdLimits: {
      connections: values.get('nbd-max-connections', wholeNumber(1, 100_000), 4096),
      connectionsOfExport: values.get('nbd-max-export-connections', wholeNumber(1, 100_000), 64),
      connectionsOfProject: values.get('nbd-max-project-connections', wholeNumber(1, 100_000), undefined),
      handshakeSeconds: values.get('nbd-handshake-timeout', wholeNumber(1, 3600), 10),
      idleSeconds: values.get('nbd-idle-timeout', wholeNumber(0, 86_400), 0),
      peerTimeoutSeconds: values.get('nbd-peer-timeout', wholeNumber(3, 7200), 90),
    },
    scrub: {
      bytesPerSecond: values.get('scrub-rate', rate, 16 * MiB),
      intervalMs: values.get('scrub-interval', wholeNumber(0, 3650), 7) * dayMs,
    },
    spaceReserveBytes: values.get('space-reserve', reserveSize, 128 * MiB),
    nbdTls: {
      mode: values.get('nbd-tls', oneOf(...tlsModes), 'off'),
      cert: values.get('nbd-tls-cert', text, undefined),
      key: values.get('nbd-tls-key', text, undefined),
      ca: values.get('nbd-tls-ca', text, undefined),
      crl: values.get('nbd-tls-crl', text, undefined),
      verifyPeer: values.get('nbd-tls-verify-peer', yes, false),
      psk: values.get('nbd-tls-psk', text, undefined),
      priority: values.get('nbd-tls-priority', text, undefined),
    },
  }
}

const dayMs = 24 * 3600_000

const defaultNbd = (data: string): ListenAddress[] => [
  { kind: 'tcp', host: '127.0.0.1', port: 10809 },
  { kind: 'unix', path: join(data, 'nbd.sock') },
]

interface Layer {
  given: Given
  /** How the source of a value is called in a complaint. */
  source(name: SettingName): string
}

class Values {
  /** The strongest first. */
  readonly #layers: Layer[]

  constructor(layers: Layer[]) {
    this.#layers = layers
  }

  get<T>(name: SettingName, read: (value: unknown) => T, otherwise: T): T {
    const layer = this.#layers.find(({ given }) => given[name] !== undefined)
    if (layer === undefined) return otherwise
    try {
      return read(layer.given[name])
    } catch (error) {
      throw new BadSetting(layer.source(name), asError(error).message)
    }
  }
}

function fromEnvironment(env: NodeJS.ProcessEnv): Given {
  const given: Given = {}
  for (const { name, repeatable } of settings) {
    const value = env[environmentName(name)]
    if (value !== undefined && value !== '')
      given[name] = repeatable ? value.split(',').map((item) => item.trim()) : value
  }
  return given
}

function readConfig(path: string): Given {
  let content: unknown
  try {
    content = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new ConfigUnreadable(path, asError(error).message)
  }
  if (content === null) return {}
  if (typeof content !== 'object' || Array.isArray(content))
    throw new ConfigUnreadable(path, 'it is not a list of settings')
  for (const key of Object.keys(content)) {
    if (!settings.some(({ name }) => name === key)) throw new BadSetting(`${path}: ${key}`, 'there is no such setting')
  }
  return content
}

// ---- reading values ----

function text(value: unknown): string {
  if (typeof value !== 'string' || value === '')
    throw new Error(`expected a text but received ${JSON.stringify(value)}`)
  return value
}

function texts(value: unknown): string[] {
  const list = Array.isArray(value) ? value.map(text) : [text(value)]
  if (list.length === 0) throw new Error('expected at least one')
  return list
}

function httpAddress(value: unknown): HostPort | undefined {
  return value === 'none' ? undefined : parseHostPort(text(value))
}

function oneOf<const Choice extends string>(...choices: Choice[]): (value: unknown) => Choice {
  return (value) => {
    const found = choices.find((choice) => choice === value)
    if (found === undefined) throw new Error(`expected ${choices.join(' or ')} but received ${JSON.stringify(value)}`)
    return found
  }
}

function wholeNumber(least: number, most: number): (value: unknown) => number {
  return (value) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) {
      throw new Error(`expected a whole number from ${least} to ${most} but received ${JSON.stringify(value)}`)
    }
    return number
  }
}

/** Bytes a second. */
function rate(value: unknown): number {
  const bytes = typeof value === 'number' ? value : parseSize(text(value))
  // A region may take a quarter of an hour, not a day.
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0 || (bytes > 0 && bytes < 4 * KiB))
    throw new Error(`expected 0, or a size of 4K or more such as 16M, but received ${JSON.stringify(value)}`)
  return bytes
}

function reserveSize(value: unknown): number {
  const bytes = typeof value === 'string' ? parseSize(value) : value
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0 || (bytes > 0 && bytes < 8 * MiB))
    throw new Error(`expected 0, or a size of at least 8M such as 128M, got ${JSON.stringify(value)}`)
  return bytes
}

function yes(value: unknown): boolean {
  if (value === true || value === 'true' || value === '1' || value === 'yes') return true
  if (value === false || value === 'false' || value === '0' || value === 'no') return false
  throw new Error(`expected true or false but received ${JSON.stringify(value)}`)
}

function url(value: unknown): string {
  const given = text(value)
  // The parser drops line feeds and tabs; what is given is used as it is.
  if (/[\s\p{Cc}]/u.test(given) || !URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
    throw new Error(`expected a URL with http or https but received ${JSON.stringify(value)}`)
  }
  return withoutTrailingSlashes(given)
}

/**
 * The settings of `atoll serve`: one entry here is all that a setting consists of. Parsing of the command line, of the environment
 * and of the file, `atoll serve --help`, the type of the resolved settings and docs/reference/settings.md come from this table.
 */

import { join } from 'node:path'
import { tlsModes } from '../../lib/addresses.js'
import { defaultHttpLimits, defaultNbdLimits } from '../../lib/default_limits.js'
import { logLevels } from '../../lib/log.js'
import {
  catalogPlace,
  file,
  hostPort,
  hostPortOrNone,
  listenAddresses,
  onOrOff,
  oneOf,
  proxies,
  sizeOrNone,
  text,
  url,
  type ValueType,
  wholeNumber,
} from './value_types.js'

/** Titles of groups, in the order in which the help and the page show them. */
export const groups = ['Storage', 'HTTP', 'HTTP limits', 'NBD', 'NBD limits', 'NBD TLS', 'Metrics', 'Log'] as const

export interface Setting<Value = unknown> {
  group: (typeof groups)[number]
  /** What the flag takes. Absent: the flag is a switch, and takes nothing. */
  argument?: string
  type: ValueType<Value>
  /** As a user would write it. May depend on the data directory. Absent: the setting is undefined unless it is given. */
  default?: string | number | boolean | ((data: string) => string[])
  /** How help and page show the default, or what holds without one. */
  defaultText?: string
  /** One line; with the default, which the help appends, below 80 characters. */
  help: string
  /** Markdown; for the page only. */
  details?: string
}

const count = wholeNumber(1, 100_000)

const table = {
  data: {
    group: 'Storage',
    argument: 'dir',
    type: text('a directory path'),
    default: './data',
    help: 'data directory; created if missing',
    details:
      'Everything that the server stores. One server uses it at a time. ext4, XFS or btrfs are suitable file systems.',
  },
  catalog: {
    group: 'Storage',
    argument: 'database',
    type: catalogPlace,
    defaultText: 'sqlite',
    help: 'database of the catalog: sqlite or postgres://…',
    details:
      '`sqlite` is a file in the data directory. A PostgreSQL database is named by a URL, which the data directory remembers for later ' +
      'starts and for the other commands. Passwords come from a password file (`PGPASSFILE`, by default `~/.pgpass`) or `PGPASSWORD` ' +
      '([The catalog on PostgreSQL](../guide/postgresql.md)).',
  },
  cache: {
    group: 'Storage',
    argument: 'mode',
    type: oneOf('buffered', 'direct'),
    default: 'buffered',
    help: 'data file access: buffered (page cache), direct (O_DIRECT)',
  },
  io: {
    group: 'Storage',
    argument: 'engine',
    type: oneOf('auto', 'uring', 'threads'),
    default: 'auto',
    help: 'disk I/O: uring, threads, or auto (uring if the kernel allows)',
  },
  'scrub-rate': {
    group: 'Storage',
    argument: 'size',
    type: sizeOrNone('4K', '16M'), // a region may take a quarter of an hour, not a day
    default: '16M',
    help: 'verify stored content at this many bytes per second, 0 = off',
    details:
      'The scrub reads stored content and compares it with its digests ([The scrub](../internals/reliability.md#the-scrub)).',
  },
  'scrub-interval': {
    group: 'Storage',
    argument: 'days',
    type: wholeNumber(0, 3650),
    default: 7,
    help: 'start a scrub pass at most every so many days, 0 = continuously',
  },
  'space-reserve': {
    group: 'Storage',
    argument: 'size',
    type: sizeOrNone('8M', '128M'),
    default: '128M',
    help: 'disk space held for deletions and logins when full, 0 = none',
    details:
      'Held on each file system of the data directory, and at most an eighth of it ' +
      '([A full disk](../internals/reliability.md#a-full-disk)).',
  },

  http: {
    group: 'HTTP',
    argument: 'host:port',
    type: hostPortOrNone,
    default: '127.0.0.1:8780',
    help: 'address of the HTTP APIs, or none',
    details:
      'One port serves `/v3` (identity), `/auth/v1.0`, `/v1` and `/info` (object storage), `/image`, `/volume` and `/healthcheck`.',
  },
  'public-url': {
    group: 'HTTP',
    argument: 'url',
    type: url,
    defaultText: 'as requested',
    help: 'URL by which clients reach the HTTP APIs',
    details:
      'Catalogs, links and version documents contain it. If it is not set, they contain the host that the request names.',
  },
  'trust-proxy': {
    group: 'HTTP',
    argument: 'proxies',
    type: proxies,
    default: 0,
    defaultText: 'none',
    help: 'proxies whose X-Forwarded-For, -Proto and -Host are trusted',
    details:
      'Addresses and networks separated by commas, `loopback`, `linklocal` and `uniquelocal`; or the number of proxies that every ' +
      'request passes. With a number the address of the peer is not checked, so use it only if clients cannot reach the port ' +
      'directly. 0 = none.',
  },
  'http-tls-cert': {
    group: 'HTTP',
    argument: 'file',
    type: file,
    defaultText: 'no TLS',
    help: 'serve HTTPS only, with this certificate chain (PEM)',
    details:
      "The file holds the server's certificate, followed by the intermediate certificates. The server uses changed files within a " +
      'second, or on SIGHUP. Without TLS, it logs a warning if it listens beyond loopback.',
  },
  'http-tls-key': {
    group: 'HTTP',
    argument: 'file',
    type: file,
    defaultText: 'no TLS',
    help: 'private key of --http-tls-cert (PEM, unencrypted)',
    details: 'Other users must not be able to read the file.',
  },

  'http-max-connections': {
    group: 'HTTP limits',
    argument: 'count',
    type: count,
    default: defaultHttpLimits.connections,
    help: 'maximum number of HTTP connections',
    details: 'At the limit, the server closes an idle connection for each new one.',
  },
  'http-max-client-connections': {
    group: 'HTTP limits',
    argument: 'count',
    type: count,
    defaultText: 'a quarter of all',
    help: 'maximum number of HTTP connections per client',
    details: 'A client is an IPv4 address, or the /64 of an IPv6 address. Trusted proxies are exempt.',
  },
  'http-max-uploads': {
    group: 'HTTP limits',
    argument: 'count',
    type: wholeNumber(1, 10_000),
    default: defaultHttpLimits.uploads,
    help: 'maximum number of simultaneous uploads, shared among projects',
    details:
      'A single project may use half of them. Further uploads get 503 with `Retry-After`. Each upload may hold 16 MiB of memory, ' +
      'and 4 MiB while it is idle.',
  },
  'http-min-upload-rate': {
    group: 'HTTP limits',
    argument: 'bytes',
    type: wholeNumber(0, 1 << 30),
    default: defaultHttpLimits.uploadBytesPerSecondMin,
    help: 'abort uploads below this many bytes per second, 0 = never',
    details: 'The rate is averaged over `--http-idle-timeout`.',
  },
  'http-idle-timeout': {
    group: 'HTTP limits',
    argument: 'seconds',
    type: wholeNumber(1, 3600),
    default: defaultHttpLimits.idleSeconds,
    help: 'drop HTTP clients that stall for this many seconds',
    details: 'A client stalls when it stops sending a request, or stops reading a response, halfway.',
  },

  nbd: {
    group: 'NBD',
    argument: 'address',
    type: listenAddresses,
    default: (data) => ['127.0.0.1:10809', `unix:${join(data, 'nbd.sock')}`],
    help: 'NBD listener, repeatable',
    details:
      '`HOST:PORT` is for tenants, and exports attachments only. `unix:PATH` is for operators, and exports every volume, snapshot ' +
      'and image by its ID or unique name. `?tls=MODE` after an address overrides `--nbd-tls` for this listener. In the default, ' +
      '`DIR` is the data directory.',
  },
  'nbd-public': {
    group: 'NBD',
    argument: 'host:port',
    type: hostPort,
    defaultText: 'the listener',
    help: 'NBD address that attachments give to clients',
  },
  'nbd-insecure-allow-remote': {
    group: 'NBD',
    type: onOrOff,
    default: false,
    help: 'allow NBD beyond loopback WITHOUT ENCRYPTION',
    details:
      "The export name is a tenant's only credential, and without TLS it is sent in plaintext: anyone on the network path can read " +
      'and change the data. So NBD listens on loopback addresses only, unless TLS is required or this setting accepts the risk.',
  },
  reactors: {
    group: 'NBD',
    argument: 'count',
    type: wholeNumber(0, 1024),
    default: 0,
    help: 'number of NBD server threads, 0 = one per core, at most 8',
  },
  'busy-poll': {
    group: 'NBD',
    argument: 'microseconds',
    type: wholeNumber(0, 1000),
    default: 50,
    help: 'poll this many microseconds before sleeping, 0 = never',
    details:
      'A reactor polls for the next request while most requests arrive within this time: lower latency for more CPU time. It polls ' +
      'up to eight times as long for the completion of disk I/O.',
  },

  'nbd-max-connections': {
    group: 'NBD limits',
    argument: 'count',
    type: count,
    default: defaultNbdLimits.connections,
    help: 'maximum number of NBD connections',
    details: "64 of them are reserved for operators' sockets.",
  },
  'nbd-max-export-connections': {
    group: 'NBD limits',
    argument: 'count',
    type: count,
    default: defaultNbdLimits.connectionsOfExport,
    help: 'maximum number of NBD connections per attachment',
  },
  'nbd-max-project-connections': {
    group: 'NBD limits',
    argument: 'count',
    type: count,
    defaultText: 'half of all',
    help: 'maximum number of NBD connections per project',
  },
  'nbd-handshake-timeout': {
    group: 'NBD limits',
    argument: 'seconds',
    type: wholeNumber(1, 3600),
    default: defaultNbdLimits.handshakeSeconds,
    help: 'drop NBD clients that take longer to name their export',
  },
  'nbd-idle-timeout': {
    group: 'NBD limits',
    argument: 'seconds',
    type: wholeNumber(0, 86_400),
    default: defaultNbdLimits.idleSeconds,
    help: 'close NBD connections idle for this many seconds, 0 = never',
    details: 'An attached disk may well be idle.',
  },
  'nbd-peer-timeout': {
    group: 'NBD limits',
    argument: 'seconds',
    type: wholeNumber(3, 7200),
    default: defaultNbdLimits.peerTimeoutSeconds,
    help: 'drop unresponsive NBD clients on TCP after this many seconds',
    details: 'TCP keep-alive and retransmissions detect clients that vanished without closing the connection.',
  },

  'nbd-tls': {
    group: 'NBD TLS',
    argument: 'mode',
    type: oneOf(...tlsModes),
    default: 'off',
    help: 'TLS on TCP listeners: off, opportunistic or required',
    details:
      '`opportunistic` serves clients with and without TLS. Unix sockets use TLS only if their address says `?tls=MODE` ' +
      '([TLS](nbd.md#tls)).',
  },
  'nbd-tls-cert': {
    group: 'NBD TLS',
    argument: 'file',
    type: file,
    defaultText: 'none',
    help: "the server's certificate chain (PEM)",
    details:
      'The server uses changed files within a second, or on SIGHUP; this also holds for the other files of this group.',
  },
  'nbd-tls-key': {
    group: 'NBD TLS',
    argument: 'file',
    type: file,
    defaultText: 'none',
    help: 'private key of --nbd-tls-cert (PEM, unencrypted)',
    details: 'Other users must not be able to read the file.',
  },
  'nbd-tls-ca': {
    group: 'NBD TLS',
    argument: 'file',
    type: file,
    defaultText: 'none',
    help: 'CA that client certificates are verified against (PEM)',
  },
  'nbd-tls-crl': {
    group: 'NBD TLS',
    argument: 'file',
    type: file,
    defaultText: 'none',
    help: 'client certificates that the CA has revoked (CRL, PEM)',
  },
  'nbd-tls-verify-peer': {
    group: 'NBD TLS',
    type: onOrOff,
    default: false,
    help: 'refuse clients without a certificate',
  },
  'nbd-tls-psk': {
    group: 'NBD TLS',
    argument: 'file',
    type: file,
    defaultText: 'none',
    help: 'pre-shared keys: lines of USER:HEXKEY, as psktool writes them',
    details: 'Other users must not be able to read the file.',
  },
  'nbd-tls-priority': {
    group: 'NBD TLS',
    argument: 'string',
    type: text('a GnuTLS priority string'),
    defaultText: 'forward secrecy, AEAD',
    help: 'algorithms as a GnuTLS priority string',
    details:
      "The default is GnuTLS's `NORMAL`, restricted to algorithms with forward secrecy and authenticated encryption.",
  },

  metrics: {
    group: 'Metrics',
    argument: 'host:port',
    type: hostPortOrNone,
    default: 'none',
    help: 'address at which Prometheus reads metrics, or none',
    details:
      '`GET /metrics` needs no credentials and shows IDs of volumes and attachments, so let only the monitoring reach it. ' +
      '[Monitoring](../guide/monitoring.md) explains the metrics.',
  },

  'log-level': {
    group: 'Log',
    argument: 'level',
    type: oneOf(...logLevels),
    default: 'info',
    help: 'least severe level to log, or silent',
  },
  log: {
    group: 'Log',
    argument: 'format',
    type: oneOf('auto', 'pretty', 'json'),
    default: 'auto',
    help: 'log format; auto = pretty on a terminal, json otherwise',
    details: '`scripts/serve` sets `pretty` unless the environment says otherwise.',
  },
} as const satisfies Record<string, Setting>

/** The name of a setting: its flag, and its key in the file. */
export type SettingName = keyof typeof table

export const settings: Readonly<Record<SettingName, Setting>> = table
export const settingNames = Object.keys(table) as SettingName[]

type CamelCase<Name extends string> = Name extends `${infer First}-${infer Rest}`
  ? `${First}${Capitalize<CamelCase<Rest>>}`
  : Name
type ValueOf<Entry> =
  Entry extends Setting<infer Value> ? (Entry extends { default: unknown } ? Value : Value | undefined) : never

/** The resolved settings: the value of `http-max-uploads` is `httpMaxUploads`. */
export type ServeSettings = { [Name in SettingName as CamelCase<Name>]: ValueOf<(typeof table)[Name]> }

/** The key of a setting in ServeSettings, and in the options of commander. */
export function camelCase(name: SettingName): keyof ServeSettings {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as keyof ServeSettings
}

export const environmentName = (name: string): string => `ATOLL_${name.toUpperCase().replaceAll('-', '_')}`

/** The default as text, or what holds without one. */
export function defaultAsText({ default: given, defaultText = String(given) }: Setting): string {
  if (typeof given === 'function') return given('DIR').join(' and ')
  return typeof given === 'boolean' ? 'off' : defaultText
}

/** The line of `atoll serve --help`. */
export function helpLine(setting: Setting): string {
  // A switch is off unless it is given.
  return setting.argument === undefined ? setting.help : `${setting.help} (default: ${defaultAsText(setting)})`
}

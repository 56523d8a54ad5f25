/**
 * TLS of the NBD server: whether its settings make sense, its files, and what changes in them while the server runs.
 *
 * The files are read at the start, at SIGHUP, and when they change; new connections use the new ones. Files that cannot be used
 * are complained about in the log, and the old ones go on.
 */

import { X509Certificate } from 'node:crypto'
import { unwatchFile, watchFile } from 'node:fs'
import { open } from 'node:fs/promises'
import type { TenantTls } from '../core/exports.js'
import type { Engine, NativeTlsMaterial } from '../engine/engine.js'
import { formatListenAddress, isLoopback, type ListenAddress, type TlsMode } from '../lib/addresses.js'
import { BadSetting, type ServeSettings } from '../lib/config.js'
import { asError, defineError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'

export const TlsFileUnusable = defineError('tls_file_unusable', 400, 'TLS for NBD: %s: %s')

/** Also through symbolic links that are turned around, as certbot and Kubernetes do, and on any file system. */
const lookEveryMs = 1000
const fileBytesMax = 4 << 20
const expiresSoonMs = 14 * 86_400_000

/** TCP follows --nbd-tls; a unix socket is guarded by its file's permissions and has TLS only when it says so. */
export function tlsModeOf(address: ListenAddress, { nbdTls }: ServeSettings): TlsMode {
  return address.tls ?? (address.kind === 'tcp' ? nbdTls.mode : 'off')
}

/** Throws BadSetting for what makes no sense together, or puts data at risk. */
export function judgeNbd(settings: ServeSettings): void {
  const { nbd, nbdTls, nbdInsecureAllowRemote } = settings
  const { cert, key, ca, crl, verifyPeer, psk, priority } = nbdTls
  const modes = nbd.map((address) => tlsModeOf(address, settings))
  const used = modes.some((mode) => mode !== 'off')

  if (used && cert === undefined && psk === undefined)
    throw new BadSetting('--nbd-tls', 'needs --nbd-tls-cert and --nbd-tls-key, or --nbd-tls-psk, or both')
  if (cert !== undefined && key === undefined)
    throw new BadSetting('--nbd-tls-cert', "needs --nbd-tls-key, the certificate's private key")
  if (key !== undefined && cert === undefined)
    throw new BadSetting('--nbd-tls-key', 'needs --nbd-tls-cert, the certificate that it belongs to')
  if (ca !== undefined && cert === undefined)
    throw new BadSetting('--nbd-tls-ca', 'clients show certificates only to a server that has one: --nbd-tls-cert')
  if (crl !== undefined && ca === undefined)
    throw new BadSetting('--nbd-tls-crl', 'needs --nbd-tls-ca, the CA that has revoked them')
  if (verifyPeer && ca === undefined)
    throw new BadSetting('--nbd-tls-verify-peer', "needs --nbd-tls-ca, the CA of the clients' certificates")
  if (verifyPeer && modes.includes('opportunistic'))
    throw new BadSetting(
      '--nbd-tls-verify-peer',
      'keeps nobody out where TLS is opportunistic: whoever has no certificate comes without TLS. Say --nbd-tls required',
    )
  const given = [cert, psk, priority].some((value) => value !== undefined)
  if (given && !used)
    throw new BadSetting('--nbd-tls', 'is off at every address, and there are files for it: say --nbd-tls required')

  for (const [i, address] of nbd.entries()) {
    if (address.kind === 'unix' || isLoopback(address.host)) continue
    if (modes[i] === 'required' || nbdInsecureAllowRemote) continue
    throw new BadSetting(
      `${address.fd === undefined ? '--nbd' : 'the socket passed in for'} ${formatListenAddress(address)}`,
      'NBD is not encrypted, and this address can be reached from other machines: anyone on the way could read and change ' +
        'the data. Listen on 127.0.0.1, require TLS by --nbd-tls required, or accept the risk by ' +
        '--nbd-insecure-allow-remote',
    )
  }
}

/** For `atoll status`. */
export interface NbdTlsReport {
  /** null: there are pre-shared keys only. */
  certificate: { subject: string; validTo: string } | null
  clientCertificates: TenantTls['clientCertificate']
  psk: boolean
  /** Milliseconds since 1970: when the files in use were read. */
  readAt: number
  /** Why the files as they are now are not in use; null: they are. */
  problem: string | null
}

export class NbdTls {
  readonly #settings: ServeSettings['nbdTls']
  readonly #engine: Engine
  readonly #log: Logger
  readonly #onHangup = () => void this.#reload('SIGHUP')
  #certificate: NbdTlsReport['certificate'] = null
  #readAt = 0
  #problem: string | null = null
  /** One after another: what was read last is what is in use. */
  #reloading: Promise<void> = Promise.resolve()

  private constructor(settings: ServeSettings['nbdTls'], engine: Engine, log: Logger) {
    this.#settings = settings
    this.#engine = engine
    this.#log = log
  }

  /** undefined: no listener has TLS. Throws TlsFileUnusable, TlsUnusable. */
  static async start(settings: ServeSettings, engine: Engine, log: Logger): Promise<NbdTls | undefined> {
    if (settings.nbd.every((address) => tlsModeOf(address, settings) === 'off')) return undefined
    const tls = new NbdTls(settings.nbdTls, engine, log)
    await tls.#load()
    for (const path of tls.#paths())
      watchFile(path, { interval: lookEveryMs, persistent: false }, () => void tls.#reload('the files changed'))
    process.on('SIGHUP', tls.#onHangup)
    return tls
  }

  async close(): Promise<void> {
    process.off('SIGHUP', this.#onHangup)
    for (const path of this.#paths()) unwatchFile(path)
    await this.#reloading
  }

  report(): NbdTlsReport {
    return {
      certificate: this.#certificate,
      clientCertificates: this.#clientCertificates(),
      psk: this.#settings.psk !== undefined,
      readAt: this.#readAt,
      problem: this.#problem,
    }
  }

  /** What tenants are told; undefined: nothing of TLS. */
  forTenants(mode: TlsMode): TenantTls | undefined {
    if (mode === 'off') return undefined
    const { cert, psk } = this.#settings
    return { mode, x509: cert !== undefined, clientCertificate: this.#clientCertificates(), psk: psk !== undefined }
  }

  #clientCertificates(): TenantTls['clientCertificate'] {
    if (this.#settings.ca === undefined) return 'none'
    return this.#settings.verifyPeer ? 'required' : 'optional'
  }

  #paths(): string[] {
    const { cert, key, ca, crl, psk } = this.#settings
    return [cert, key, ca, crl, psk].filter((path) => path !== undefined)
  }

  #reload(why: string): Promise<void> {
    this.#reloading = this.#reloading.then(async () => {
      try {
        await this.#load()
        this.#log.info({ why, certificate: this.#certificate }, 'TLS for NBD: new connections use the new files')
      } catch (error) {
        // Also between the arrival of a new certificate and that of its key; what comes last is looked at again.
        this.#problem = asError(error).message
        this.#log.error({ why, err: asError(error) }, 'TLS for NBD: the new files cannot be used; the old ones go on')
      }
    })
    return this.#reloading
  }

  async #load(): Promise<void> {
    const { cert, key, ca, crl, psk, verifyPeer, priority } = this.#settings
    const material: NativeTlsMaterial = {
      certificate: await readOrNothing(cert),
      key: await readOrNothing(key, { secret: true }),
      clientCa: await readOrNothing(ca),
      clientCrl: await readOrNothing(crl),
      psk: await readOrNothing(psk, { secret: true }),
      verifyPeer,
      priority: priority ?? '',
    }
    this.#engine.setTls(material)
    this.#readAt = Date.now()
    this.#problem = null
    this.#certificate = cert === undefined ? null : describe(material.certificate)
    if (this.#certificate !== null && Date.parse(this.#certificate.validTo) < Date.now() + expiresSoonMs)
      this.#log.warn(this.#certificate, "TLS for NBD: the server's certificate is no longer valid, or not for long")
  }
}

function describe(pem: string): NbdTlsReport['certificate'] {
  const { subject, validTo } = new X509Certificate(pem)
  return { subject: subject.replaceAll('\n', ', '), validTo: new Date(validTo).toISOString() }
}

async function readOrNothing(path: string | undefined, { secret = false } = {}): Promise<string> {
  if (path === undefined) return ''
  const refuse = (why: string, cause?: unknown) => new TlsFileUnusable(path, why, { cause })
  const file = await open(path).catch((error: unknown) => {
    throw refuse(asError(error).message, error)
  })
  try {
    const { mode, size } = await file.stat()
    if (secret && (mode & 0o007) !== 0)
      throw refuse('it holds a secret, and every user of this machine may read or change it: chmod o= takes that away')
    if (size > fileBytesMax) throw refuse(`it has more than ${fileBytesMax} bytes`)
    const text = await file.readFile('utf8')
    if (text === '') throw refuse('it is empty')
    return text
  } finally {
    await file.close()
  }
}

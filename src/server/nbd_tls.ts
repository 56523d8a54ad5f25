/** TLS of the NBD server: whether its settings make sense, and its files (tls_files.ts). */

import type { TenantTls } from '../core/exports/exports.js'
import type { Engine } from '../engine/engine.js'
import type { TlsMaterial } from '../engine/nbd.js'
import { formatListenAddress, isLoopback, type ListenAddress, type TlsMode } from '../lib/addresses.js'
import { BadSetting } from './settings/settings.js'
import type { ServeSettings } from './settings/table.js'
import type { Logger } from '../lib/log.js'
import { readTlsFile, TlsFiles, type TlsFilesReport } from './tls_files.js'

/** TCP follows --nbd-tls; a unix socket is guarded by its file's permissions and has TLS only when it says so. */
export function tlsModeOf(address: ListenAddress, { nbdTls }: ServeSettings): TlsMode {
  return address.tls ?? (address.kind === 'tcp' ? nbdTls : 'off')
}

/** Throws BadSetting for what makes no sense together, or puts data at risk. */
export function judgeNbd(settings: ServeSettings): void {
  const { nbd, nbdInsecureAllowRemote, nbdTlsVerifyPeer: verifyPeer, nbdTlsPriority: priority } = settings
  const { cert, key, ca, crl, psk } = pathsOf(settings)
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
export interface NbdTlsReport extends TlsFilesReport {
  clientCertificates: TenantTls['clientCertificate']
  psk: boolean
}

export class NbdTls {
  readonly #settings: ServeSettings
  readonly #files: TlsFiles

  private constructor(settings: ServeSettings, files: TlsFiles) {
    this.#settings = settings
    this.#files = files
  }

  /** undefined: no listener has TLS. Throws TlsFileUnusable, TlsUnusable. */
  static async start(settings: ServeSettings, engine: Engine, log: Logger): Promise<NbdTls | undefined> {
    if (settings.nbd.every((address) => tlsModeOf(address, settings) === 'off')) return undefined
    const paths = Object.values(pathsOf(settings)).filter((path) => path !== undefined)
    const load = () => use(settings, engine)
    return new NbdTls(settings, await TlsFiles.start({ user: 'NBD', paths, load, log }))
  }

  close(): Promise<void> {
    return this.#files.close()
  }

  report(): NbdTlsReport {
    return {
      ...this.#files.report(),
      clientCertificates: this.#clientCertificates(),
      psk: this.#settings.nbdTlsPsk !== undefined,
    }
  }

  /** What tenants are told; undefined: nothing of TLS. */
  forTenants(mode: TlsMode): TenantTls | undefined {
    if (mode === 'off') return undefined
    const { cert, psk } = pathsOf(this.#settings)
    return { mode, x509: cert !== undefined, clientCertificate: this.#clientCertificates(), psk: psk !== undefined }
  }

  #clientCertificates(): TenantTls['clientCertificate'] {
    if (this.#settings.nbdTlsCa === undefined) return 'none'
    return this.#settings.nbdTlsVerifyPeer ? 'required' : 'optional'
  }
}

/** The files of NBD's TLS. */
function pathsOf({ nbdTlsCert, nbdTlsKey, nbdTlsCa, nbdTlsCrl, nbdTlsPsk }: ServeSettings) {
  return { cert: nbdTlsCert, key: nbdTlsKey, ca: nbdTlsCa, crl: nbdTlsCrl, psk: nbdTlsPsk }
}

/** Returns the server's certificate as PEM; empty if there are pre-shared keys only. */
async function use(settings: ServeSettings, engine: Engine): Promise<string> {
  const { cert, key, ca, crl, psk } = pathsOf(settings)
  const material: TlsMaterial = {
    certificate: await readTlsFile('NBD', cert),
    key: await readTlsFile('NBD', key, { secret: true }),
    clientCa: await readTlsFile('NBD', ca),
    clientCrl: await readTlsFile('NBD', crl),
    psk: await readTlsFile('NBD', psk, { secret: true }),
    verifyPeer: settings.nbdTlsVerifyPeer,
    priority: settings.nbdTlsPriority ?? '',
  }
  engine.nbd.setTls(material)
  return material.certificate
}

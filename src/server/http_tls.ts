/** TLS of the HTTP APIs: whether its settings make sense, and its files, by Node's own TLS. */

import { createSecureContext, Server } from 'node:tls'
import { formatHostPort, isLoopback } from '../lib/addresses.js'
import { BadSetting } from './settings/settings.js'
import type { ServeSettings } from './settings/table.js'
import { asError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'
import { readTlsFile, TlsFiles, type TlsFilesReport, TlsFileUnusable } from './tls_files.js'

/** PEM. */
export interface HttpTlsMaterial {
  cert: string
  key: string
}

/** Throws BadSetting for settings that make no sense together. Returns warnings. */
export function judgeHttp({ http, httpTlsCert: cert, httpTlsKey: key, publicUrl }: ServeSettings): string[] {
  if (cert !== undefined && key === undefined)
    throw new BadSetting('--http-tls-cert', "needs --http-tls-key, the certificate's private key")
  if (key !== undefined && cert === undefined)
    throw new BadSetting('--http-tls-key', 'needs --http-tls-cert, the certificate that it belongs to')
  if (http === undefined) {
    if (cert !== undefined) throw new BadSetting('--http-tls-cert', 'has no use with --http none')
    return []
  }
  if (cert === undefined && !isLoopback(http.host))
    return [
      `HTTP listens on ${formatHostPort(http)} without TLS, and other machines can reach this address: passwords and tokens ` +
        'travel in the clear. Give --http-tls-cert and --http-tls-key, or listen on 127.0.0.1 behind a proxy that has TLS',
    ]
  if (cert !== undefined && publicUrl?.startsWith('http:'))
    return [`--public-url ${publicUrl} is not https, and HTTP listens with TLS alone`]
  return []
}

export class HttpTls {
  readonly #paths: { cert: string; key: string }
  #material: HttpTlsMaterial = { cert: '', key: '' }
  #files: TlsFiles | undefined
  #server: Server | undefined

  private constructor(paths: { cert: string; key: string }) {
    this.#paths = paths
  }

  /** undefined: HTTP has no TLS. Throws TlsFileUnusable. */
  static async start({ httpTlsCert: cert, httpTlsKey: key }: ServeSettings, log: Logger): Promise<HttpTls | undefined> {
    if (cert === undefined || key === undefined) return undefined
    const tls = new HttpTls({ cert, key })
    tls.#files = await TlsFiles.start({ user: 'HTTP', paths: [cert, key], load: () => tls.#load(), log })
    return tls
  }

  get material(): HttpTlsMaterial {
    return this.#material
  }

  /** The server that takes new files into use from now on. It must be one that speaks TLS. */
  serve(server: object): void {
    if (!(server instanceof Server)) throw new Error('the HTTP server has no TLS')
    this.#server = server
    server.setSecureContext(this.#material)
  }

  report(): TlsFilesReport | null {
    return this.#files?.report() ?? null
  }

  async close(): Promise<void> {
    await this.#files?.close()
  }

  async #load(): Promise<string> {
    const { cert, key } = this.#paths
    const material = { cert: await readTlsFile('HTTP', cert), key: await readTlsFile('HTTP', key, { secret: true }) }
    try {
      createSecureContext(material)
    } catch (error) {
      // A key of another certificate, or no PEM.
      throw new TlsFileUnusable('HTTP', `${cert}, ${key}`, asError(error).message, { cause: error })
    }
    this.#material = material
    this.#server?.setSecureContext(material)
    return material.cert
  }
}

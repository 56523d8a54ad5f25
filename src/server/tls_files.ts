/**
 * The files of a server that speaks TLS: they are read at the start, at SIGHUP, and when they change; new connections use the new
 * ones. Files that cannot be used are reported in the log, and the server goes on with the old ones.
 */

import { X509Certificate } from 'node:crypto'
import { unwatchFile, watchFile } from 'node:fs'
import { open } from 'node:fs/promises'
import { asError, defineError } from '../lib/errors.js'
import type { Logger } from '../lib/log.js'

export const TlsFileUnusable = defineError('tls_file_unusable', 400, 'TLS for %s: %s: %s')

/** What speaks TLS, for the log and errors. */
export type TlsUser = 'NBD' | 'HTTP'

export interface TlsCertificate {
  subject: string
  /** ISO 8601. */
  validTo: string
}

/** For `atoll status`. */
export interface TlsFilesReport {
  /** null: there are pre-shared keys only. */
  certificate: TlsCertificate | null
  /** Milliseconds since 1970: when the files in use were read. */
  readAt: number
  /** Why the files as they are now are not in use; null: they are. */
  problem: string | null
}

export interface TlsFilesOptions {
  user: TlsUser
  paths: string[]
  /** Reads the files and puts them into use. Returns the server's certificate as PEM; empty: it has none. Throws why it cannot. */
  load(): Promise<string>
  log: Logger
}

/** Also sees symbolic links that are switched, as certbot and Kubernetes do, on any file system. */
const lookEveryMs = 1000
const fileBytesMax = 4 << 20
const expiresSoonMs = 14 * 86_400_000

export class TlsFiles {
  readonly #options: TlsFilesOptions
  readonly #onHangup = () => void this.#reload('SIGHUP')
  readonly #onChange = () => void this.#reload('the files changed')
  #report: TlsFilesReport = { certificate: null, readAt: 0, problem: null }
  /** One after another: what was read last is what is in use. */
  #reloading: Promise<void> = Promise.resolve()

  private constructor(options: TlsFilesOptions) {
    this.#options = options
  }

  /** Throws what `load` throws. */
  static async start(options: TlsFilesOptions): Promise<TlsFiles> {
    const files = new TlsFiles(options)
    await files.#load()
    for (const path of options.paths) watchFile(path, { interval: lookEveryMs, persistent: false }, files.#onChange)
    process.on('SIGHUP', files.#onHangup)
    return files
  }

  async close(): Promise<void> {
    process.off('SIGHUP', this.#onHangup)
    // With the listener: NBD and HTTP may watch the same file.
    for (const path of this.#options.paths) unwatchFile(path, this.#onChange)
    await this.#reloading
  }

  report(): TlsFilesReport {
    return this.#report
  }

  #reload(why: string): Promise<void> {
    const { user, log } = this.#options
    this.#reloading = this.#reloading.then(async () => {
      try {
        await this.#load()
        log.info({ why, certificate: this.#report.certificate }, `TLS for ${user}: new connections use the new files`)
      } catch (error) {
        // Also between the arrival of a new certificate and that of its key; what comes last is looked at again.
        this.#report = { ...this.#report, problem: asError(error).message }
        log.error({ why, err: asError(error) }, `TLS for ${user}: the new files cannot be used; the old ones go on`)
      }
    })
    return this.#reloading
  }

  async #load(): Promise<void> {
    const { user, load, log } = this.#options
    const pem = await load()
    const certificate = pem === '' ? null : describe(pem)
    this.#report = { certificate, readAt: Date.now(), problem: null }
    if (certificate !== null && Date.parse(certificate.validTo) < Date.now() + expiresSoonMs)
      log.warn(certificate, `TLS for ${user}: the server's certificate is no longer valid, or not for long`)
  }
}

function describe(pem: string): TlsCertificate {
  const { subject, validTo } = new X509Certificate(pem)
  return { subject: subject.replaceAll('\n', ', '), validTo: new Date(validTo).toISOString() }
}

/** The text of the file; empty when there is no path. `secret`: others must not be able to read it. Throws TlsFileUnusable. */
export async function readTlsFile(
  user: TlsUser,
  path: string | undefined,
  { secret = false }: { secret?: boolean } = {},
): Promise<string> {
  if (path === undefined) return ''
  const refuse = (why: string, cause?: unknown) => new TlsFileUnusable(user, path, why, { cause })
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

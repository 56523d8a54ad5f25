/**
 * The data directory: everything that Atoll keeps.
 *
 *   format            which layout this is (text)
 *   lock              held, together with the directory itself, by the process that uses it
 *   reserve           space for the catalog, the records and deletions on a full file system (native/store/space_reserve.h)
 *   catalog.db        SQLite, with catalog.db-wal and catalog.db-shm
 *   catalog.url       instead, where the catalog is a PostgreSQL database: its URL
 *   store/            the engine's: data/, content/, records/
 *   openrc/admin.sh   how to log in
 *   nbd.sock          the operator's NBD door (by default)
 *   control.sock      by which `atoll status` and `atoll reconnect` talk to the server
 *   scrub.json        how far the scrub of content chunks is, and what it found
 *
 * Only its owner can enter it (mode 0700).
 *
 * The lock goes with the process however that ends, and taking it writes nothing: it works on a full and on a read-only file
 * system (native/store/directory_lock.h).
 */

import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import type { CatalogLocation } from '../../catalog/catalog.js'
import { LockHeld, lockDirectory } from '../../engine/directory_lock.js'
import { asError, defineError } from '../../lib/errors.js'
import { writeFileDurably } from '../../lib/files.js'

export const DirectoryInUse = defineError(
  'directory_in_use',
  500,
  'the data directory %s is in use by another Atoll (process %s); only one at a time can use it',
)
export const DirectoryUnusable = defineError('directory_unusable', 500, 'the data directory %s cannot be used: %s')
export const DirectoryForeign = defineError(
  'directory_foreign',
  500,
  'the directory %s is not empty and no data directory of Atoll: choose another one',
)
export const DirectoryMissing = defineError('directory_missing', 500, 'there is no data directory %s')
export const FormatTooNew = defineError(
  'format_too_new',
  500,
  'the data directory %s has format %s; this Atoll knows formats up to %s: use a newer Atoll',
)

const formatVersion = 1
const formatText = (version: number) => `atoll data directory\nformat ${version}\n`

export class DataDirectory {
  readonly path: string

  constructor(path: string) {
    this.path = resolve(path)
  }

  get #formatPath(): string {
    return join(this.path, 'format')
  }
  get catalog(): string {
    return join(this.path, 'catalog.db')
  }
  get #catalogUrlPath(): string {
    return join(this.path, 'catalog.url')
  }
  /** Where the catalog is. `place`: "sqlite" or a URL; by default what was remembered last. */
  catalogAt(place?: string): CatalogLocation {
    const found = place ?? this.#rememberedUrl()
    return found === undefined || found === 'sqlite' ? { path: this.catalog } : { url: found }
  }

  /** For the commands, and for starts that name no catalog. */
  rememberCatalog(location: CatalogLocation): void {
    const url = 'url' in location ? location.url : undefined
    if (url === this.#rememberedUrl()) return
    if (url === undefined) unlinkSync(this.#catalogUrlPath)
    else writeFileDurably(this.#catalogUrlPath, `${url}\n`, 0o600)
  }

  #rememberedUrl(): string | undefined {
    return existsSync(this.#catalogUrlPath) ? readFileSync(this.#catalogUrlPath, 'utf8').trim() : undefined
  }

  get store(): string {
    return join(this.path, 'store')
  }
  get openrc(): string {
    return join(this.path, 'openrc', 'admin.sh')
  }
  get nbdSocket(): string {
    return join(this.path, 'nbd.sock')
  }
  get scrubState(): string {
    return join(this.path, 'scrub.json')
  }
  get controlSocket(): string {
    return join(this.path, 'control.sock')
  }

  /**
   * Makes the directory when it is absent or empty, and takes its lock. `create` false: it must be there.
   * Throws DirectoryInUse, DirectoryUnusable, DirectoryForeign, DirectoryMissing, FormatTooNew.
   */
  static open(
    path: string,
    { create = true }: { create?: boolean } = {},
  ): { directory: DataDirectory; unlock: () => void } {
    const directory = new DataDirectory(path)
    try {
      if (!create) directory.mustExist()
      directory.#make()
      const unlock = directory.#lock()
      try {
        directory.#format()
      } catch (error) {
        unlock()
        throw error
      }
      return { directory, unlock }
    } catch (error) {
      if (typeof (error as { code?: unknown }).code === 'string' && (error as { syscall?: unknown }).syscall) {
        throw new DirectoryUnusable(directory.path, asError(error).message, { cause: error })
      }
      throw error
    }
  }

  /**
   * For check: takes the lock of a directory that must be there, and says what is wrong with its file "format" instead of
   * refusing it. Throws DirectoryInUse, DirectoryUnusable, DirectoryMissing, FormatTooNew.
   */
  static openToExamine(path: string): { directory: DataDirectory; unlock: () => void; formatProblem?: string } {
    const directory = new DataDirectory(path)
    const there = existsSync(directory.#formatPath)
    if (!there && !existsSync(directory.catalog) && directory.#rememberedUrl() === undefined)
      throw new DirectoryMissing(directory.path)
    const unlock = directory.#lock()
    try {
      if (!there) return { directory, unlock, formatProblem: 'is missing' }
      if (!directory.#readFormat()) return { directory, unlock, formatProblem: 'does not say what it must' }
      return { directory, unlock }
    } catch (error) {
      unlock()
      throw error
    }
  }

  writeFormat(): void {
    writeFileDurably(this.#formatPath, formatText(formatVersion), 0o600)
  }

  /** Throws DirectoryMissing. */
  mustExist(): void {
    if (!existsSync(this.#formatPath)) throw new DirectoryMissing(this.path)
  }

  /** Throws DirectoryUnusable when it is on a read-only file system, or may not be written to. */
  mustTakeWrites(): void {
    try {
      accessSync(this.path, constants.W_OK)
    } catch (error) {
      throw new DirectoryUnusable(this.path, asError(error).message, { cause: error })
    }
  }

  #make(): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 })
    if (!statSync(this.path).isDirectory()) throw new DirectoryUnusable(this.path, 'it is not a directory')
    const foreign = readdirSync(this.path).some((name) => !/^(lock(-journal)?|format(\.new)?)$/.test(name))
    if (foreign && !existsSync(this.#formatPath)) throw new DirectoryForeign(this.path)
    // Somebody made it for us with the usual mode; secrets come in.
    if (!foreign) chmodSync(this.path, 0o700)
  }

  #format(): void {
    if (!existsSync(this.#formatPath)) this.writeFormat()
    if (!this.#readFormat()) {
      throw new DirectoryUnusable(this.path, 'its file "format" does not say what it must (atoll check says more)')
    }
  }

  /** False: it does not say what it must. Throws FormatTooNew. */
  #readFormat(): boolean {
    const found = /^atoll data directory\nformat (\d+)\n/.exec(readFileSync(this.#formatPath, 'utf8'))
    if (found && Number(found[1]) > formatVersion) throw new FormatTooNew(this.path, found[1] as string, formatVersion)
    return found !== null
  }

  #lock(): () => void {
    try {
      return lockDirectory(this.path)
    } catch (error) {
      if (error instanceof LockHeld) throw new DirectoryInUse(this.path, error.holder ?? 'unknown', { cause: error })
      throw new DirectoryUnusable(this.path, asError(error).message, { cause: error })
    }
  }
}

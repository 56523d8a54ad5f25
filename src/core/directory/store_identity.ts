/**
 * One identity and one generation for the catalog and the store, so that a directory that is missing (a file system that was not
 * mounted), or an older copy of one, is never taken for the store.
 *
 * The catalog has a row (`store_identity`); store/, store/records, store/data and store/content have marks (store_marks.ts).
 * The generation goes up at each start, and every ten minutes in which anything was changed.
 *
 * Invariants
 *   1. A step to generation n writes the records' mark (n, begun), then the other marks (n), then the catalog (n), then the records' mark
 *      (n, settled). Each write is durable before the next.
 *   2. So after a kill or a power cut no part is older than the catalog, and parts are newer, by one, only under a records' mark that is
 *      begun. Everything else means that something was replaced by another copy, or is missing.
 *   3. Nobody is served before the first step of a start, except where it finds no space: then the last generation goes on.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Catalog, CatalogLocation } from '../../catalog/catalog.js'
import type { Reader } from '../../catalog/types.js'
import { CatalogFull } from '../../catalog/errors.js'
import { Engine } from '../../engine/engine.js'
import { StorageFull } from '../../addon/errors.js'
import { asError } from '../../lib/errors.js'
import { syncFolder } from '../../lib/files.js'
import { newStoreId } from '../../lib/ids.js'
import type { Logger } from '../../lib/log.js'
import { Mutex } from '../../lib/mutex.js'
import type { DataDirectory } from './data_directory.js'
import { CatalogOlder, StoreMismatch } from '../model/errors.js'
import { type FoundMark, type Mark, partName, readMark, type StorePart, storeParts, writeMark } from './store_marks.js'

/** As the catalog has it. */
export interface KnownStore {
  id: string
  generation: number
}

export type FoundMarks = Record<StorePart, FoundMark>

/** What does not belong together, in words. `catalogOlder`: nothing is wrong with the store. */
export interface Mismatch {
  words: string[]
  catalogOlder: boolean
}

function readMarks(storeDir: string): FoundMarks {
  const marks = {} as FoundMarks
  for (const part of storeParts) marks[part] = readMark(storeDir, part)
  return marks
}

async function knownStore(db: Reader): Promise<KnownStore | undefined> {
  return db.selectFrom('store_identity').select(['id', 'generation']).executeTakeFirst()
}

/** Compares the catalog with the marks; undefined: they belong together, or there is no mark anywhere and the catalog knows of none. */
export function compare(known: KnownStore | undefined, marks: FoundMarks): Mismatch | undefined {
  return known === undefined ? compareUnknown(marks) : compareKnown(known, marks)
}

function compareKnown({ id, generation }: KnownStore, marks: FoundMarks): Mismatch | undefined {
  const words: string[] = []
  const newer: string[] = []
  const { records } = marks
  const steppedOn = 'mark' in records && !records.mark.settled && records.mark.generation === generation + 1
  for (const part of storeParts) {
    const found = marks[part]
    if (!('mark' in found)) {
      words.push(`${partName(part)}: ${found.problem}`)
      continue
    }
    const { store, generation: ofPart } = found.mark
    if (store !== id) words.push(`${partName(part)} belongs to another store (${store}, and the catalog to ${id})`)
    else if (ofPart < generation)
      words.push(`${partName(part)} is an older copy (generation ${ofPart}, the catalog has ${generation})`)
    else if (ofPart > generation && !(steppedOn && ofPart === generation + 1))
      newer.push(`${partName(part)} has generation ${ofPart}, the catalog ${generation}`)
  }
  return mismatchOf(words, newer)
}

/** The catalog knows of no store. Marks are explained by a first start that was cut off, which writes them in this order. */
function compareUnknown(marks: FoundMarks): Mismatch | undefined {
  const words: string[] = []
  const newer: string[] = []
  const { records } = marks
  const first = 'mark' in records && !records.mark.settled && records.mark.generation === 1 ? records.mark : undefined
  for (const part of storeParts) {
    const found = marks[part]
    if ('mark' in found) {
      const explained = first !== undefined && found.mark.generation === 1 && found.mark.store === first.store
      if (!explained) newer.push(`${partName(part)} has generation ${found.mark.generation}, the catalog none`)
    } else if (!found.missing) {
      words.push(`${partName(part)}: ${found.problem}`)
    }
  }
  return mismatchOf(words, newer)
}

function mismatchOf(words: string[], newer: string[]): Mismatch | undefined {
  if (words.length === 0 && newer.length === 0) return undefined
  if (newer.length > 0) newer[0] = `catalog.db is an older copy, or a new one: ${newer[0]}`
  return { words: [...words, ...newer], catalogOlder: words.length === 0 }
}

/** What does not belong together in a data directory, whether it has marks or not; undefined: nothing. */
export async function mismatchIn(directory: DataDirectory, catalog: Catalog): Promise<Mismatch | undefined> {
  const known = await knownStore(catalog.db)
  const mismatch = compare(known, readMarks(directory.store))
  if (mismatch !== undefined) return mismatch
  const used = known !== undefined || (await catalogIsUsed(catalog))
  const words = used ? missingOfUsedStore(directory) : []
  if (known === undefined && used && words.length === 0) words.push(...(await emptyParts(directory)))
  return words.length === 0 ? undefined : { words, catalogOlder: false }
}

/** Files that are there in every store that was ever used, with or without marks. */
function missingOfUsedStore({ store }: DataDirectory): string[] {
  const words: string[] = []
  for (const part of storeParts) {
    const found = readMark(store, part)
    if ('problem' in found && found.directoryMissing) words.push(`${partName(part)}: it is missing`)
  }
  if (words.length === 0 && !recordsAreMade(store)) words.push('store/records: it has no records (no file CURRENT)')
  return words
}

/** What the records must reach at least (EngineOptions). */
export function recordsReachOf({ store }: DataDirectory): number {
  const found = readMark(store, 'records')
  return 'mark' in found ? found.mark.recordsReach : 0
}

/** RocksDB's name for the file that everything else is found by. */
export const recordsAreMade = (storeDir: string): boolean => existsSync(join(storeDir, 'records', 'CURRENT'))

const refreshMs = 600_000

interface IdentityParts {
  directory: DataDirectory
  catalog: Catalog
  log: Logger
}

export class StoreIdentity {
  readonly #directory: DataDirectory
  readonly #catalog: Catalog
  readonly #log: Logger
  readonly #turn = new Mutex()
  #engine: Engine | undefined
  #timer: NodeJS.Timeout | undefined
  /** What was written to the records' mark last by this process. */
  #mark: Mark | undefined
  #changes = ''

  private constructor({ directory, catalog, log }: IdentityParts) {
    this.#directory = directory
    this.#catalog = catalog
    this.#log = log
  }

  /** Before the catalog is opened, which would make it where it is missing. Throws StoreMismatch. */
  static refuseLostCatalog(directory: DataDirectory, catalog: CatalogLocation): void {
    if ('url' in catalog || existsSync(catalog.path)) return
    const used = storeParts.filter((part) => {
      const found = readMark(directory.store, part)
      return 'mark' in found && (found.mark.settled || found.mark.generation > 1)
    })
    if (used.length > 0) throw new StoreMismatch(directory.path, 'catalog.db: it is missing')
  }

  /**
   * Before the engine is opened to serve, which would make what is missing. Throws StoreMismatch, CatalogOlder; nothing is changed
   * then.
   */
  static async verify(parts: IdentityParts): Promise<StoreIdentity> {
    const { directory, catalog } = parts
    const mismatch = await mismatchIn(directory, catalog)
    if (mismatch === undefined) return new StoreIdentity(parts)
    const words = mismatch.words.join('; ')
    throw mismatch.catalogOlder ? new CatalogOlder(words) : new StoreMismatch(directory.path, words)
  }

  /** The first step of this start, and from then on one every ten minutes in which something was changed. */
  async begin(engine: Engine): Promise<void> {
    this.#engine = engine
    await this.#turn.run(() => this.#stepIfSpace())
    this.#timer = setInterval(() => void this.#stepIfChanged(), refreshMs).unref()
  }

  /** One step; what was copied before is told from what is there afterwards. */
  async step(): Promise<void> {
    await this.#turn.run(() => this.#step())
  }

  /** After `stop`. `recordsReach`: as the engine's shutdown returned it. Never rejects: the mark that is there stays right. */
  async end(recordsReach: number): Promise<void> {
    if (this.#mark?.settled !== true || recordsReach <= this.#mark.recordsReach) return
    try {
      await writeMark(this.#directory.store, 'records', { ...this.#mark, recordsReach })
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'the mark of the records could not be brought up to date')
    }
  }

  /** No further step begins; resolves when none is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#turn.run(async () => {
      this.#engine = undefined
    })
  }

  async #stepIfSpace(): Promise<void> {
    try {
      await this.#step()
    } catch (error) {
      if (!isFull(error)) throw error
      this.#log.warn(
        { err: asError(error) },
        'there is no space for a new generation of the store: older copies of its parts are told apart less well',
      )
    }
  }

  async #stepIfChanged(): Promise<void> {
    try {
      await this.#turn.run(async () => {
        const engine = this.#engine
        if (engine !== undefined && (await this.#changesNow(engine)) !== this.#changes) await this.#stepIfSpace()
      })
    } catch (error) {
      this.#log.error({ err: asError(error) }, 'the generation of the store could not be raised')
    }
  }

  async #changesNow(engine: Engine): Promise<string> {
    const { bytesWritten, recordsCommitted, contentBytesWritten } = engine.counters()
    return [bytesWritten, recordsCommitted, contentBytesWritten, await this.#catalog.version()].join(' ')
  }

  async #step(): Promise<void> {
    const engine = this.#engine
    if (engine === undefined) return
    const { store } = this.#directory
    const marks = readMarks(store)
    const known = await knownStore(this.#catalog.db)
    const begun = 'mark' in marks.records ? marks.records.mark.store : undefined
    const generation = (known?.generation ?? 0) + 1
    const id = known?.id ?? begun ?? newStoreId()
    const mark: Mark = { store: id, generation, settled: false, recordsReach: await engine.health.recordsReach() }
    for (const part of storeParts) {
      await writeMark(store, part, mark)
      if (part === 'records') this.#mark = mark
    }
    if (known === undefined) for (const folder of [store, this.#directory.path]) syncFolder(folder)
    await this.#catalog.reservedTransaction(async ({ db }) => {
      if (known === undefined) await db.insertInto('store_identity').values({ id, generation }).execute()
      else {
        const from = db.updateTable('store_identity').set({ generation }).where('generation', '=', known.generation)
        await from.returning('id').executeTakeFirstOrThrow()
      }
    })
    this.#mark = { ...mark, settled: true }
    await writeMark(store, 'records', this.#mark)
    this.#changes = await this.#changesNow(engine)
  }
}

const isFull = (error: unknown): boolean =>
  error instanceof CatalogFull ||
  error instanceof StorageFull ||
  ['ENOSPC', 'EDQUOT'].includes(String((error as { code?: unknown }).code))

async function catalogIsUsed({ db }: Catalog): Promise<boolean> {
  return (await db.selectFrom('layers').select('id').limit(1).executeTakeFirst()) !== undefined
}

/**
 * Of a store of an Atoll that knew no marks: directories that are empty, and that the records say are not. Each start of such an Atoll made
 * a directory that it missed, so that being there says nothing.
 */
async function emptyParts({ store }: DataDirectory): Promise<string[]> {
  const engine = await Engine.open({ storeDir: store, purpose: 'examine', reactors: 1 })
  try {
    const { files, filesThere, chunks, chunksThere } = await engine.health.presence()
    const words: string[] = []
    if (files > 0 && filesThere === 0)
      words.push(
        `store/data: it is empty or another one (none of ${files} data files that the records mention is there)`,
      )
    if (chunks > 0 && chunksThere === 0)
      words.push(
        `store/content: it is empty or another one (none of ${chunks} chunks that the records mention is there)`,
      )
    return words
  } finally {
    await engine.shutdown()
  }
}

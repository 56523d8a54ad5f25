/**
 * Is everything in a stopped store as it must be? The format file, the catalog's file, references and rules, the engine's
 * records, data files and chunks, and all of these against each other. Nothing is changed; repair.ts puts right what can be.
 *
 * What an interrupted run left behind, and the next start gives back by itself, is a note and no finding.
 */

import { Catalog } from '../../catalog/catalog.js'
import { CatalogEmpty, CatalogFailed } from '../../catalog/errors.js'
import { Engine, type EngineLog } from '../../engine/engine.js'
import type { StoreFinding, StoreReport } from '../../engine/health.js'
import { StorageCorrupt, StorageFailed } from '../../addon/errors.js'
import { asError } from '../../lib/errors.js'
import type { LayerId } from '../../lib/ids.js'
import { type Affected, AffectedFinder } from './affected.js'
import { type CatalogFinding, referenceFindings, ruleFindings } from './catalog_findings.js'
import { type DamageKind, damages, type Severity } from './damage.js'
import type { DataDirectory } from '../directory/data_directory.js'
import { type Mismatch, mismatchIn, recordsAreMade, recordsReachOf } from '../directory/store_identity.js'

export interface Finding {
  kind: DamageKind
  severity: Severity
  message: string
  affected: Affected[]
}

export interface CheckReport {
  layers: number
  findings: Finding[]
  /** Nothing is wrong; the next start tidies up. */
  notes: string[]
  /** Data files that take more of the disk than their records account for: a kill leaves what was written and never flushed. */
  surplus: string[]
  /** Bytes; undefined where the records cannot be read. */
  space?: Omit<StoreReport, 'findings' | 'trusted'>
}

export interface Examination {
  report: CheckReport
  /** The catalog could be read, and every layer that a row refers to is there: what no row knows is an orphan. */
  catalogTrusted: boolean
  orphans: LayerId[]
}

export interface ExamineOptions {
  /** Also read all content chunks and compare them with their digests. */
  content: boolean
  /** What is wrong with the file "format". */
  formatProblem?: string | undefined
  /** For lines of the store. Default: they are dropped. */
  log?: EngineLog | undefined
}

/** The caller holds the lock of the data directory. Throws what hinders the check. */
export async function examine(directory: DataDirectory, options: ExamineOptions): Promise<Examination> {
  const findings: Finding[] = []
  const notes: string[] = []
  const surplus: string[] = []
  const add = (kind: DamageKind, message: string, affected: Affected[] = []) =>
    findings.push({ kind, severity: damages[kind].severity, message, affected })
  if (options.formatProblem !== undefined) add('format_unreadable', `the file "format" ${options.formatProblem}`)

  const catalog = await openCatalog(directory, (words, empty) => {
    // Made a moment before the store, by a first start that was cut off.
    if (!(empty && !storeIsMade(directory))) add('catalog_unreadable', `the catalog cannot be read: ${words}`)
  })
  try {
    const rows = catalog ? await catalog.db.selectFrom('layers').select('id').execute() : []
    const known = new Set(rows.map(({ id }) => id))
    const ofCatalog = catalog ? [...(await referenceFindings(catalog)), ...(await ruleFindings(catalog.db))] : []
    const report: CheckReport = { layers: known.size, findings, notes, surplus }
    const mismatch = catalog && (await whatMismatches(directory, catalog))
    if (mismatch !== undefined) {
      const kind = mismatch.catalogOlder ? 'catalog_older' : 'store_mismatch'
      add(kind, `${damages[kind].says.replace('…', '')}${mismatch.words.join('; ')}`)
    } else if (known.size === 0 && !storeIsMade(directory)) {
      notes.push('the first start did not come to its end; the next one makes what is missing')
      return { report: { layers: 0, findings, notes, surplus }, catalogTrusted: true, orphans: [] }
    }
    let catalogTrusted =
      catalog !== undefined &&
      mismatch === undefined &&
      !ofCatalog.some(({ kind }) => kind === 'layer_missing' || kind === 'layer_cycle')
    const engine = await openEngine(directory, options.log, (words) =>
      add('records_unreadable', `the records cannot be read: ${words}`),
    )
    let orphans: LayerId[] = []
    try {
      const affected = catalog
        ? new AffectedFinder(
            catalog.db,
            async (layer, region) => (await engine?.health.recordBlocks(layer, region)) ?? [],
          )
        : undefined
      for (const finding of ofCatalog) add(finding.kind, finding.message, await whom(finding, affected))
      const engineReport = await checkEngine(engine, catalog ? [...known] : null, options.content, (words) =>
        add('records_unreadable', `the records cannot be read: ${words}`),
      )
      if (engine && engineReport) {
        const { findings: ofEngine, trusted: _, ...space } = engineReport
        report.space = space
        if (catalog) {
          orphans = (await engine.layers.list()).filter((layer) => !known.has(layer))
          const next = await nextLayer(catalog)
          if (orphans.some((layer) => layer >= next)) {
            const words = `the store has layers from number ${next} on, which it never gave out`
            if (mismatch?.catalogOlder !== true)
              add('catalog_older', `catalog.db is not the one that belongs to the store: ${words}`)
            catalogTrusted = false
          }
        }
        for (const finding of ofEngine) await takeEngine(finding)
      }
      if (orphans.length > 0 && catalogTrusted)
        notes.push(`${orphans.length} layers of interrupted operations; the next start gives their space back`)

      async function takeEngine({ kind, message, places }: StoreFinding): Promise<void> {
        if (kind === 'layer_unknown') return // told as one note, below
        if (kind === 'space_unaccounted') surplus.push(message)
        else add(kind, message, affected && places.length > 0 ? await affected.byPlaces(places) : [])
      }
    } finally {
      await engine?.shutdown()
    }
    return { report, catalogTrusted, orphans }
  } finally {
    await catalog?.close()
  }
}

async function nextLayer(catalog: Catalog): Promise<number> {
  const row = await catalog.db.selectFrom('sequences').select('next').where('name', '=', 'layers').executeTakeFirst()
  return row?.next ?? 1
}

async function whom({ resource, layer }: CatalogFinding, affected: AffectedFinder | undefined): Promise<Affected[]> {
  if (affected === undefined) return []
  if (resource !== undefined) return affected.byResource(resource)
  return layer === undefined ? [] : affected.byLayer(layer)
}

/** False: the first start did not come that far, or everything is lost. */
export const storeIsMade = ({ store }: DataDirectory): boolean => recordsAreMade(store)

/** Records that cannot be read are a finding of their own. */
async function whatMismatches(directory: DataDirectory, catalog: Catalog): Promise<Mismatch | undefined> {
  try {
    return await mismatchIn(directory, catalog)
  } catch (error) {
    if (error instanceof StorageCorrupt || error instanceof StorageFailed) return undefined
    throw error
  }
}

async function openCatalog(
  directory: DataDirectory,
  damaged: (words: string, empty: boolean) => void,
): Promise<Catalog | undefined> {
  let catalog: Catalog | undefined
  try {
    catalog = await Catalog.openToExamine(directory.catalogAt())
    const problems = await catalog.fileProblems()
    if (problems.length === 0) return catalog
    damaged(problems.slice(0, 10).join('; '), false)
  } catch (error) {
    if (!(error instanceof CatalogEmpty) && !(error instanceof CatalogFailed && isDamaged(error))) {
      await catalog?.close()
      throw error
    }
    damaged(error.message, error instanceof CatalogEmpty)
  }
  await catalog?.close()
  return undefined
}

/** Not a lack of permission or of space. */
const isDamaged = ({ cause }: Error): boolean =>
  /CORRUPT|NOTADB|SHORT_READ/.test(String((cause as { code?: unknown }).code))

async function openEngine(
  directory: DataDirectory,
  log: EngineLog | undefined,
  damaged: (words: string) => void,
): Promise<Engine | undefined> {
  try {
    const recordsReach = recordsReachOf(directory)
    const given = { storeDir: directory.store, purpose: 'examine', reactors: 1, recordsReach } as const
    return await Engine.open({ ...given, ...(log && { log }) })
  } catch (error) {
    // A store without records (lost, or never made: the catalog was) is damage as well; a lack of permission is not.
    const lost = !storeIsMade(directory) || (error instanceof StorageFailed && saysDamage(error))
    if (!(error instanceof StorageCorrupt) && !lost) throw error
    damaged(asError(error).message)
    return undefined
  }
}

/** RocksDB says "IO error: No such file" of a table or a log that it misses. */
const saysDamage = (error: Error): boolean => /No such file|[Cc]orrupt/.test(error.message)

async function checkEngine(
  engine: Engine | undefined,
  layers: LayerId[] | null,
  content: boolean,
  damaged: (words: string) => void,
): Promise<StoreReport | undefined> {
  try {
    return await engine?.health.check({ layers, data: content })
  } catch (error) {
    if (!(error instanceof StorageCorrupt)) throw error
    damaged(asError(error).message)
    return undefined
  }
}

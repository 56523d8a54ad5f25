/**
 * `atoll check`: is everything in a stopped store as it must be? The catalog's file, the rules of the layer tree, and the
 * engine's records, data files and references against the layers of the catalog.
 *
 * What an interrupted run left behind, and the next start gives back by itself, is told but is no finding.
 */

import { Catalog } from '../catalog/catalog.js'
import { fileFindings, treeFindings } from '../catalog/integrity.js'
import { DataDirectory } from '../core/data_directory.js'
import { Engine } from '../engine/engine.js'
import type { LayerId } from '../lib/ids.js'

export interface CheckReport {
  data: string
  layers: number
  /** Something is wrong. `fatal`: data is damaged. */
  findings: { fatal: boolean; message: string }[]
  /** Nothing is wrong; the next start tidies up. */
  notes: string[]
}

/** Answers the exit status: 0 clean, 1 findings. What hinders the check is thrown. */
export async function check(options: { data: string; content?: boolean; json?: boolean }): Promise<number> {
  const report = await examine(options.data, options.content ?? false)
  console.log(options.json ? JSON.stringify(report, undefined, 2) : inWords(report))
  return report.findings.length === 0 ? 0 : 1
}

export async function examine(data: string, content: boolean): Promise<CheckReport> {
  const { directory, unlock } = DataDirectory.open(data, { create: false })
  try {
    const catalog = await Catalog.open({ path: directory.catalog, schema: 'exact' })
    try {
      return await examineStore(directory, catalog, content)
    } finally {
      await catalog.close()
    }
  } finally {
    unlock()
  }
}

async function examineStore(directory: DataDirectory, catalog: Catalog, content: boolean): Promise<CheckReport> {
  const findings: CheckReport['findings'] = []
  const notes: string[] = []
  for (const message of await fileFindings(catalog.db)) findings.push({ fatal: true, message: `catalog: ${message}` })
  for (const message of await treeFindings(catalog.db)) findings.push({ fatal: false, message: `catalog: ${message}` })
  const known = (await catalog.db.selectFrom('layers').select('id').execute()).map((row) => row.id)
  const engine = await Engine.open({ storeDir: directory.store })
  try {
    const orphans = orphansOf(await engine.layers(), known)
    if (orphans.length > 0) {
      notes.push(`${orphans.length} layers of interrupted operations; the next start gives their space back`)
    }
    for (const finding of await engine.check({ layers: [...known, ...orphans], data: content })) {
      findings.push({ fatal: finding.fatal, message: `engine: ${finding.message}` })
    }
  } finally {
    await engine.shutdown()
  }
  return { data: directory.path, layers: known.length, findings, notes }
}

function orphansOf(layers: readonly LayerId[], known: readonly LayerId[]): LayerId[] {
  const rows = new Set(known)
  return layers.filter((layer) => !rows.has(layer))
}

function inWords({ data, layers, findings, notes }: CheckReport): string {
  const lines = findings.map(({ fatal, message }) => `${fatal ? 'DAMAGED' : 'wrong'}: ${message}`)
  lines.push(...notes.map((note) => `note: ${note}`))
  const verdict = findings.length === 0 ? 'clean' : `${findings.length} findings`
  lines.push(`${data}: ${verdict} (${layers} layers)`)
  return lines.join('\n')
}

/** How many volumes match, their size, and every value of each of their metadata. */

import type { Core } from '../../core/core.js'
import type { ProjectCaller } from '../../core/records.js'
import type { VolumeQuery } from '../../core/volumes.js'

interface Totals {
  count: number
  sizeGib: number
  metadata: Record<string, string[]>
}

const pageSize = 500

/** Reads page by page, so that memory is bounded however many volumes there are. */
export async function totalsOf(core: Core, caller: ProjectCaller, query: VolumeQuery): Promise<Totals> {
  const values = new Map<string, Set<string>>()
  const totals = { count: 0, sizeGib: 0 }
  let marker: VolumeQuery['marker']
  for (;;) {
    const page = await core.volumes.list(caller, { ...query, offset: 0, sort: undefined, marker, limit: pageSize })
    for (const { sizeGib, metadata } of page) {
      totals.count += 1
      totals.sizeGib += sizeGib
      for (const [key, value] of Object.entries(metadata)) values.set(key, (values.get(key) ?? new Set()).add(value))
    }
    marker = page.at(-1)?.id
    if (page.length < pageSize) break
  }
  return { ...totals, metadata: Object.fromEntries([...values].map(([key, set]) => [key, [...set]])) }
}

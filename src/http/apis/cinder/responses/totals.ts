/** How many volumes match, their size, and every value of each of their metadata. */

import type { FastifyRequest } from 'fastify'
import type { Core } from '../../../../core/core.js'
import type { ProjectCaller } from '../../../../core/model/records.js'
import type { VolumeQuery } from '../../../../core/volumes/volumes.js'
import { ownerOf } from '../../../shared/fairness.js'
import { CinderFault } from '../errors.js'

interface Totals {
  count: number
  sizeGib: number
  metadata: Record<string, string[]>
}

/** Characters of names and values, which have to fit into one answer. */
const metadataLengthMax = 1 << 20

/**
 * Reads slice by slice, each in a turn of its own. Throws 413 when there is more metadata than an answer holds: a summary has no pages.
 */
export async function totalsOf(
  core: Core,
  request: FastifyRequest,
  caller: ProjectCaller,
  { query, metadata }: { query: VolumeQuery; metadata: boolean },
): Promise<Totals> {
  const values = new Map<string, Set<string>>()
  const totals = { count: 0, sizeGib: 0 }
  let length = 0
  const add = (key: string, value: string) => {
    const known = values.get(key) ?? new Set()
    if (known.has(value)) return
    length += key.length + value.length
    if (length > metadataLengthMax)
      throw new CinderFault(413, 'The metadata of these volumes is too long for a summary; narrow it down by filters.')
    values.set(key, known.add(value))
  }
  const work = request.server.fairness.turns.begin(ownerOf(request))
  const sums = core.volumes.sums(caller, query, { metadata })
  for (;;) {
    await work.turn()
    const { value: some, done } = await sums.next()
    if (done || some === undefined) break
    totals.count += some.count
    totals.sizeGib += some.sizeGib
    for (const one of some.metadata) for (const [key, value] of Object.entries(one)) add(key, value)
  }
  return { ...totals, metadata: Object.fromEntries([...values].map(([key, set]) => [key, [...set]])) }
}

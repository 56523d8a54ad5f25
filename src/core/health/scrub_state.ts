/**
 * Where the scrub is and what it has found, in a small file that the next start goes on from. Nothing depends on it: one that is
 * lost or damaged costs a pass from the beginning.
 */

import { open, rename, writeFile } from 'node:fs/promises'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** Findings that are kept and shown; further ones of a pass are counted. */
export const findingsMax = 100
/** Of each finding. */
export const affectedMax = 20
export const rangesMax = 16
/** Far above what the limits allow. */
const fileBytesMax = 16 << 20

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const DigestText = Type.String({ pattern: '^[0-9a-f]{64}$' })
const word = (...words: string[]) => Type.Union(words.map((literal) => Type.Literal(literal)))

const AffectedThing = Type.Object({
  kind: Type.Unsafe<'object' | 'image' | 'snapshot' | 'volume' | 'twin' | 'job' | 'resource'>(
    word('object', 'image', 'snapshot', 'volume', 'twin', 'job', 'resource'),
  ),
  id: Type.String(),
  name: Type.Union([Type.String(), Type.Null()]),
  ranges: Type.Array(Type.Object({ offset: Count, length: Count }), { maxItems: rangesMax }),
})

const Finding = Type.Object({
  kind: Type.Unsafe<'chunk_missing' | 'chunk_corrupt' | 'chunk_unreadable'>(
    word('chunk_missing', 'chunk_corrupt', 'chunk_unreadable'),
  ),
  /** The chunk's digest. */
  chunk: DigestText,
  message: Type.String(),
  /** Milliseconds since 1970, when it was last found. */
  foundAt: Count,
  /** Whose records mention the chunk. */
  layers: Type.Array(Count, { maxItems: affectedMax }),
  affected: Type.Array(AffectedThing, { maxItems: affectedMax }),
  /** There are more than these. */
  more: Type.Boolean(),
})

/** Milliseconds since 1970; what was read of it; how many chunks were bad. */
const counted = { startedAt: Count, chunks: Count, bytes: Count, findings: Count }
const Pass = Type.Object({ ...counted, after: Type.Union([DigestText, Type.Null()]) })
const EndedPass = Type.Object({ ...counted, endedAt: Count })

const State = Type.Object({
  version: Type.Literal(1),
  pass: Type.Union([Pass, Type.Null()]),
  lastPass: Type.Union([EndedPass, Type.Null()]),
  findings: Type.Array(Finding, { maxItems: findingsMax }),
})

export type ScrubFinding = Static<typeof Finding>
export type ScrubPass = Static<typeof Pass>
export type EndedScrubPass = Static<typeof EndedPass>
export type ScrubState = Static<typeof State>

export const newState = (): ScrubState => ({ version: 1, pass: null, lastPass: null, findings: [] })

/** A new state when there is none yet. Throws when it cannot be read or is not one. */
export async function readState(path: string): Promise<ScrubState> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return newState()
  try {
    if ((await file.stat()).size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`)
    const state: unknown = JSON.parse(await file.readFile('utf8'))
    if (!Value.Check(State, state)) throw new Error('it does not say what it must')
    return state
  } finally {
    await file.close()
  }
}

/** Whole or as before for whoever reads it later; not synced, as no promise stands on it. */
export async function writeState(path: string, state: ScrubState): Promise<void> {
  const fresh = `${path}.new`
  await writeFile(fresh, JSON.stringify(state), { mode: 0o600 })
  await rename(fresh, path)
}

/**
 * Listings by name, with prefixes, delimiters and markers, as Swift defines them (swift/container/backend.py,
 * list_objects_iter). Names are ordered by the bytes of their UTF-8, which is also the order of their code points.
 */

import { InvalidArgument } from '../model/errors.js'
import type { Listed } from '../model/records.js'
import { SlicePace } from './slices.js'

/** Empty strings count as absent. */
export interface ListingQuery {
  prefix?: string | undefined
  /** One or more characters; names that hold it behind the prefix are folded into one `subdir`. */
  delimiter?: string | undefined
  /** Names behind it (in the order of the listing: before it when reversed). */
  marker?: string | undefined
  /** Names before it (in the order of the listing). */
  endMarker?: string | undefined
  /** 0 to 10000, default 10000. */
  limit?: number | undefined
  reverse?: boolean | undefined
}

/** Which names to fetch: all that lie within every bound that is given. */
export interface NameBounds {
  /** name > above */
  above?: string | undefined
  /** name >= from */
  from?: string | undefined
  /** name < below */
  below?: string | undefined
  reverse: boolean
  limit: number
}

export const listingLimitMax = 10_000

// With a delimiter one page may jump over any number of names: small fetches then, larger ones while nothing is folded.
const foldingFetchMin = 32

/**
 * Names are short: a slice of a listing begins with more rows than one of things with metadata. But nobody weighs them, and a name with its
 * type may become 7 KiB of text.
 */
export const listingPace = (): SlicePace => new SlicePace({ first: 128, max: 128 })

/**
 * The lines of a listing, slice by slice; a slice is what one fetch found, and may be empty. `fetch` answers rows in the order of the
 * listing. Each slice is as of the moment of its fetch: what is there all the time is listed once. Throws InvalidArgument for a limit
 * that is none.
 */
export async function* listNames<Row extends { name: string }>(
  query: ListingQuery,
  fetch: (bounds: NameBounds) => Promise<Row[]>,
  pace: SlicePace = listingPace(),
): AsyncGenerator<Listed<Row>[], void, void> {
  const { prefix = '', delimiter = '', reverse = false } = query
  const bounds = boundsOf(query)
  // A subdir that the client has seen already is not listed again.
  const seen = reverse ? query.endMarker : query.marker
  let size = foldingFetchMin
  for (let left = limitOf(query); left > 0; ) {
    const asked = Math.min(delimiter === '' ? pace.rows : Math.min(size, pace.rows), left)
    const rows = await fetch({ ...bounds, limit: asked })
    const listed: Listed<Row>[] = []
    let folded: string | undefined
    for (const item of rows) {
      if (folded !== undefined && item.name.startsWith(folded)) continue
      folded = delimiter === '' ? undefined : subdirOf(item.name, prefix, delimiter)
      if (folded === undefined) listed.push({ kind: 'item', item })
      else if (folded !== seen) listed.push({ kind: 'subdir', subdir: folded })
    }
    left -= listed.length
    yield listed
    const last = rows.at(-1)
    if (last === undefined || rows.length < asked) return
    size = folded === undefined ? size * 2 : foldingFetchMin
    goBehind(bounds, last.name, folded)
  }
}

/** The same listing of other things. */
export async function* mapListed<Row, Summary>(
  slices: AsyncIterable<Listed<Row>[]>,
  map: (row: Row) => Summary,
): AsyncGenerator<Listed<Summary>[], void, void> {
  for await (const slice of slices)
    yield slice.map((line) => (line.kind === 'subdir' ? line : { kind: 'item', item: map(line.item) }))
}

/** The next fetch begins behind the last name or, when that was folded, behind everything in its subdir. */
function goBehind(bounds: Omit<NameBounds, 'limit'>, name: string, folded: string | undefined): void {
  if (bounds.reverse) {
    bounds.below = folded ?? name
  } else if (folded === undefined) {
    bounds.above = name
    bounds.from = undefined
  } else {
    bounds.above = undefined
    bounds.from = successor(folded)
    // Nothing comes behind: an interval that is empty.
    if (bounds.from === undefined) bounds.below = ''
  }
}

function subdirOf(name: string, prefix: string, delimiter: string): string | undefined {
  const at = name.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : name.slice(0, at + delimiter.length)
}

/** One lower and one upper bound, so that an index finds the first row at once. */
function boundsOf(query: ListingQuery): Omit<NameBounds, 'limit'> {
  const { prefix = '', reverse = false } = query
  const low = (reverse ? query.endMarker : query.marker) || undefined
  const high = (reverse ? query.marker : query.endMarker) || undefined
  const behindLow = low !== undefined && compareNames(low, prefix) >= 0
  const prefixEnd = prefix === '' ? undefined : successor(prefix)
  const beforeHigh = high !== undefined && (prefixEnd === undefined || compareNames(high, prefixEnd) < 0)
  return {
    above: behindLow ? low : undefined,
    from: behindLow || prefix === '' ? undefined : prefix,
    below: beforeHigh ? high : prefixEnd,
    reverse,
  }
}

function limitOf({ limit = listingLimitMax }: ListingQuery): number {
  if (!Number.isSafeInteger(limit) || limit < 0 || limit > listingLimitMax) {
    throw new InvalidArgument(`a limit is a whole number from 0 to ${listingLimitMax}`)
  }
  return limit
}

/** By the bytes of the UTF-8; JavaScript's own order differs where surrogates meet U+E000 and above. */
export function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The least text that is greater than all that begin with this one; undefined: there is none. */
export function successor(text: string): string | undefined {
  const points = Array.from(text)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0) as number
    if (point === 0x10ffff) continue
    // Surrogates are no characters: U+E000 comes right behind U+D7FF.
    return points.join('') + String.fromCodePoint(point === 0xd7ff ? 0xe000 : point + 1)
  }
  return undefined
}

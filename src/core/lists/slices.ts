/**
 * Lists in slices: a list of any length is read, and turned into an answer, some rows at a time, so that neither its memory nor the time
 * for which it keeps the event loop depends on how long it is.
 */

/** How many characters of an answer one slice should make. */
const sliceLength = 48 << 10
const sliceBytesMax = 96 << 10

/** How many rows the next slice takes. Whoever turns the slices into text reports its length, and the number adapts. */
export class SlicePace {
  readonly #max: number
  #rows: number

  /** `first`: rows of the first slice, when nothing is known about their length yet. */
  constructor({ first = 16, max = 256 }: { first?: number; max?: number } = {}) {
    this.#rows = first
    this.#max = max
  }

  get rows(): number {
    return this.#rows
  }

  /** `items` became `length` characters. */
  made(items: number, length: number): void {
    if (items === 0) return
    const fitting = Math.floor(sliceLength / (length / items))
    // Not more than four times as many at once: the next rows may be longer than those seen so far.
    const rows = Math.max(1, Math.min(fitting, this.#rows * 4, this.#max))
    // Powers of two, so that the catalog sees few different queries and keeps them prepared.
    this.#rows = 2 ** Math.floor(Math.log2(rows))
  }
}

/** How the things of a list are read. */
interface Loading<Id extends string, Item extends { id: Id }> {
  /** Those that are not found are left out of the list. */
  load: (ids: Id[]) => Promise<Item[]>
  /** The bytes of what each carries beside its row; what carries nothing may be left out. */
  weigh: (ids: Id[]) => Promise<ReadonlyMap<Id, number>>
}

/**
 * The things with these ids, slice by slice, in the order of the ids. A slice has at most `sliceBytesMax` bytes of what its things
 * carry, or is a single thing: a few long ones among many short ones must not come in one slice.
 */
export async function* loadInSlices<Id extends string, Item extends { id: Id }>(
  ids: readonly Id[],
  pace: SlicePace,
  { load, weigh }: Loading<Id, Item>,
): AsyncGenerator<Item[], void, void> {
  for (let at = 0; at < ids.length; ) {
    const next = ids.slice(at, at + pace.rows)
    const wanted = next.length === 1 ? next : lightest(next, await weigh(next))
    at += wanted.length
    const found = new Map((await load(wanted)).map((item) => [item.id, item]))
    yield wanted.flatMap((id) => found.get(id) ?? [])
  }
}

/** The first ones: as many as are not too heavy together, and at least one. */
function lightest<Id extends string>(ids: Id[], weights: ReadonlyMap<Id, number>): Id[] {
  let bytes = 0
  const end = ids.findIndex((id, i) => {
    bytes += weights.get(id) ?? 0
    return i > 0 && bytes > sliceBytesMax
  })
  return end < 0 ? ids : ids.slice(0, end)
}

/**
 * The rows of a query, slice by slice. `read` returns at most `size` rows behind `last` (undefined: from the first row on); a slice
 * that is not full is the last one.
 */
export async function* rowsInSlices<Row>(
  pace: { readonly rows: number },
  read: (size: number, last: Row | undefined) => Promise<Row[]>,
): AsyncGenerator<Row[], void, void> {
  for (let last: Row | undefined; ; ) {
    const size = pace.rows
    const rows = await read(size, last)
    yield rows
    last = rows.at(-1)
    if (rows.length < size) return
  }
}

/** All of a list at once. */
export async function collected<Item>(slices: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const all: Item[] = []
  for await (const slice of slices) all.push(...slice)
  return all
}

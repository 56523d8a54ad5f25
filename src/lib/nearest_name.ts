/** Suggests what a misspelled name was meant to be. */

/** A name that needs more edits than a third of its length is another word. */
const editsMax = (length: number): number => Math.ceil(length / 3)
/** Longer text is not compared: the time grows with the product of both lengths. */
const lengthMax = 64

/** Returns the known name with the fewest edits from `name`, the first of several; undefined if none is close. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  if (name.length > lengthMax) return undefined
  let nearest: string | undefined
  let fewest = editsMax(name.length) + 1
  for (const candidate of known) {
    const edits = editDistance(name, candidate)
    if (edits < fewest) [nearest, fewest] = [candidate, edits]
  }
  return nearest
}

/** How many insertions, deletions, replacements and swaps of neighbors turn one text into the other (optimal string alignment). */
function editDistance(one: string, other: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= other.length; j += 1) {
      const replaced = at(last, j - 1) + (one[i - 1] === other[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
          ? at(beforeLast, j - 2) + 1
          : Number.POSITIVE_INFINITY
      row.push(Math.min(replaced, swapped, at(last, j) + 1, at(row, j - 1) + 1))
    }
    beforeLast = last
    last = row
  }
  return at(last, other.length)
}

const at = (row: readonly number[], column: number): number => row[column] ?? Number.POSITIVE_INFINITY

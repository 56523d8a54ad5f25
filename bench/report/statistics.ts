/** What several runs of one case say together. */

export interface Summary {
  median: number
  min: number
  max: number
}

/** Throws on no values at all. */
export function summarize(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[middle - 1], sorted[middle]]
  if (high === undefined) throw new Error('a median of nothing')
  return sorted.length % 2 === 1 || low === undefined ? high : (low + high) / 2
}

export type Better = 'more' | 'less'

/** How many times better the first is than the second: above 1 it is ahead, whichever way the figure counts. */
export function timesBetter(first: number, second: number, better: Better): number {
  return better === 'more' ? first / second : second / first
}

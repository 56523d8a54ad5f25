/**
 * A histogram of durations that were counted elsewhere, in buckets of powers of two (NativeExportCounters.latencyUs). A histogram of
 * prom-client takes single durations only.
 */

import type { Metric, MetricValueWithName } from 'prom-client'

const microsecond = 1e-6

interface Sums<Label extends string> {
  labels: Readonly<Record<Label, string>>
  counts: number[]
  seconds: number
}

export class Durations<Label extends string> {
  readonly #name: string
  readonly #help: string
  readonly #byLabels = new Map<string, Sums<Label>>()

  constructor({ name, help }: { name: string; help: string }) {
    this.#name = name
    this.#help = help
  }

  /** `counts[0]`: below 1 µs; `counts[i]`: from 2^(i-1) to below 2^i µs; the last one has no upper bound. */
  add(labels: Readonly<Record<Label, string>>, counts: readonly number[]): void {
    const key = Object.values(labels).join(' ')
    const sums = this.#byLabels.get(key) ?? { labels, counts: counts.map(() => 0), seconds: 0 }
    this.#byLabels.set(key, sums)
    for (const [i, count] of counts.entries()) {
      sums.counts[i] = (sums.counts[i] ?? 0) + count
      sums.seconds += count * middleOf(i)
    }
  }

  /** As prom-client's registry takes it. */
  metric(): Metric {
    const described = { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum' }
    return {
      ...described,
      get: async () => ({ ...described, values: [...this.#byLabels.values()].flatMap((sums) => this.#values(sums)) }),
      reset: () => this.#byLabels.clear(),
    } as unknown as Metric
  }

  #values({ labels, counts, seconds }: Sums<Label>): MetricValueWithName<string>[] {
    const values: MetricValueWithName<string>[] = []
    const value = (suffix: string, number: number, more: object = {}) =>
      values.push({ metricName: `${this.#name}_${suffix}`, labels: { ...labels, ...more }, value: number })
    let below = 0
    for (const [i, count] of counts.entries()) {
      below += count
      value('bucket', below, { le: i === counts.length - 1 ? '+Inf' : microsecond * 2 ** i })
    }
    value('sum', seconds)
    value('count', below)
    return values
  }
}

/** In seconds; of the last bucket its lower bound times 1.5, as of the others. */
function middleOf(bucket: number): number {
  return microsecond * (bucket === 0 ? 0.5 : 0.75 * 2 ** bucket)
}

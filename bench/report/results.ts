/** What a run of the bench found: the JSON that it writes, and from which tables and plot are made. */

import type { Target, Unit } from '../plan.js'
import { type Better, type Summary, timesBetter } from './statistics.js'

export interface ContenderResult {
  name: string
  role: 'atoll' | 'peer' | 'ceiling'
  values: number[]
  summary: Summary
  /** Microseconds of CPU for an operation, medians. */
  serverCpuUs?: number
  clientCpuUs?: number
  more?: Record<string, Summary>
  /** What was not as the case wants it; its figures are then not compared. */
  unfair?: string
}

export interface CaseResult {
  name: string
  title: string
  unit: Unit
  better: Better
  targets: Target[]
  contenders: ContenderResult[]
}

export interface StageResult {
  name: string
  title: string
  cases: CaseResult[]
  /** Contenders that could not take part, and why; and stages that failed. */
  notes: string[]
}

export interface Period {
  startedAt: string
  endedAt: string
}

export interface Results extends Period {
  machine: Record<string, string>
  /** Of the runs that this one went on with. */
  before?: Period[]
  /** How it was asked for. */
  command: string
  rounds: number
  seconds: number
  stages: StageResult[]
}

export const atollOf = (result: CaseResult): ContenderResult | undefined =>
  result.contenders.find(({ role, unfair }) => role === 'atoll' && unfair === undefined)

/** The peer with the best median among those that were measured fairly. */
export function bestPeer({ contenders, better }: CaseResult): ContenderResult | undefined {
  const peers = contenders.filter(({ role, unfair }) => role === 'peer' && unfair === undefined)
  return peers.reduce<ContenderResult | undefined>(
    (best, peer) =>
      best === undefined || timesBetter(peer.summary.median, best.summary.median, better) > 1 ? peer : best,
    undefined,
  )
}

/** Above 1: Atoll is ahead. undefined: there is nobody to compare with. */
export function ratioTo(result: CaseResult, other: ContenderResult | undefined): number | undefined {
  const atoll = atollOf(result)
  if (atoll === undefined || other === undefined || other.unfair !== undefined) return undefined
  return timesBetter(atoll.summary.median, other.summary.median, result.better)
}

/** How many processors Atoll's server and its client kept at work, where the CPU time of an operation and their number are known. */
export function atWork(result: CaseResult): { server: number; client: number } | undefined {
  const atoll = atollOf(result)
  if (result.unit !== 'op/s' || atoll?.serverCpuUs === undefined || atoll.clientCpuUs === undefined) return undefined
  const perS = atoll.summary.median
  return { server: (perS * atoll.serverCpuUs) / 1e6, client: (perS * atoll.clientCpuUs) / 1e6 }
}

/** What the machine gives without a server, against the best peer. */
export function ceilingOf(result: CaseResult): { ratio: number; peer: string } | undefined {
  const ceiling = result.contenders.find(({ role, unfair }) => role === 'ceiling' && unfair === undefined)
  const peer = bestPeer(result)
  if (ceiling === undefined || peer === undefined) return undefined
  return { ratio: timesBetter(ceiling.summary.median, peer.summary.median, result.better), peer: peer.name }
}

export interface Judgement {
  /** In words, for a table: "≥ 1.5 × the best peer". */
  target: string
  /** undefined: what it is about was not measured. */
  met: boolean | undefined
  found: string
}

export function judge(result: CaseResult): Judgement[] {
  return result.targets.map((target) => judgeOne(result, target))
}

function judgeOne(result: CaseResult, target: Target): Judgement {
  switch (target.kind) {
    case 'ratio': {
      const { against, atLeast } = target
      const other = against ? result.contenders.find(({ name }) => name === against) : bestPeer(result)
      const ratio = ratioTo(result, other)
      return {
        target: `≥ ${atLeast} × ${against ?? 'the best peer'}`,
        met: ratio === undefined ? undefined : ratio >= atLeast,
        found: ratio === undefined ? 'not measured' : `${ratio.toFixed(2)} × ${other?.name}`,
      }
    }
    case 'cpu': {
      const [own, other] = [atollOf(result)?.serverCpuUs, bestPeer(result)]
      const ratio = own === undefined || !other?.serverCpuUs ? undefined : own / other.serverCpuUs
      return {
        target: `server CPU per operation ≤ ${target.atMost} of the fastest peer`,
        met: ratio === undefined ? undefined : ratio <= target.atMost,
        found: ratio === undefined ? 'not measured' : `${ratio.toFixed(2)} of ${other?.name}`,
      }
    }
    case 'value': {
      const { atMost, atLeast } = target
      const value = atollOf(result)?.summary.median
      const met =
        value === undefined
          ? undefined
          : value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY)
      const limits = [atMost !== undefined && `≤ ${atMost}`, atLeast !== undefined && `≥ ${atLeast}`]
      return {
        target: `${limits.filter(Boolean).join(' and ')} ${result.unit}`,
        met,
        found: value === undefined ? 'not measured' : `${formatNumber(value)} ${result.unit}`,
      }
    }
  }
}

/** Three digits that count. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3
  const [whole = '', fraction] = value.toFixed(digits).split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ' ')
  return fraction ? `${grouped}.${fraction}` : grouped
}

/**
 * plan.ts: what is measured, in words that the runner, the tables and the stages share.
 *
 * A stage sets contenders up (servers with their data); its cases measure each of them in turn. Rules of fairness:
 *
 *   1. Rounds are interleaved (A B C A B C …), and only one contender is under load at a time.
 *   2. Each contender has the same client, cache mode, transport, file system and data. Data is real before it is read.
 *   3. Where reads must come from memory, or from the disk, the server's own I/O counters decide whether they did.
 *   4. What a case needs first (a fresh clone) is prepared outside of the measurement.
 */

import type { Better } from './report/statistics.js'

export type Unit = 'op/s' | 'MiB/s' | 'ms' | 'MiB'

/** One run. */
export interface Sample {
  value: number
  /** How many operations that was, for the CPU time of one. */
  operations?: number
  /** How many bytes were read from the store, for the check on where they came from. */
  bytesRead?: number
  /** Other figures that the report shows, by name with unit ("p99.9 ms"). */
  more?: Record<string, number>
}

/** What Atoll wants to reach in a case. */
export type Target =
  /** Atoll's median against the best peer's, or that of the one named. */
  | { kind: 'ratio'; atLeast: number; against?: string }
  /** CPU time of the server for an operation, Atoll's against that of the fastest peer. */
  | { kind: 'cpu'; atMost: number }
  /** Atoll's own median, in the unit of the case. */
  | { kind: 'value'; atMost?: number; atLeast?: number }

export interface Case<Subject> {
  /** Unique in all: what --case selects. */
  name: string
  title: string
  unit: Unit
  better: Better
  targets?: Target[]
  /** Part of --quick. */
  quick?: boolean
  /** Where reads have to come from; undefined: there are none to judge. */
  readsFrom?: 'page cache' | 'disk'
  /** One run costs so much that there are fewer. */
  rounds?: number
  /** Contenders that this case is not for. */
  without?: readonly string[]
  prepare?(subject: Subject): Promise<void>
  run(subject: Subject, length: Length): Promise<Sample>
  /** After each run, whatever became of it, and not measured: what it left is taken away. */
  tidy?(subject: Subject): Promise<void>
}

export interface Length {
  seconds: number
}

export interface Contender<Subject> {
  /** `atoll`, or the peer's name. */
  name: string
  /** `ceiling`: what the machine itself gives; it is no peer. */
  role: 'atoll' | 'peer' | 'ceiling'
  subject: Subject
  /** The process (with its children) that does the server's work; undefined: the client does it. */
  serverPid?: () => number | undefined
  close(): Promise<void>
}

export interface Stage<Subject> {
  name: string
  title: string
  cases: readonly Case<Subject>[]
  /**
   * What it leaves is removed after all stages: files of hundreds of thousands of pieces, each of which a file system that is mounted with
   * `discard` gives back to the disk by itself, for minutes.
   */
  removedLast?: boolean
  /** Contenders of this stage, of which `wanted` says the names; those that cannot be set up are left out with a word. */
  open(room: Room, wanted: (peer: string) => boolean): Promise<Contender<Subject>[]>
}

/** Where a stage works. */
export interface Room {
  /** A folder of its own; it goes with the stage, unless that is removed last. */
  dir: string
  quick: boolean
  /** Something that the report has to say beside the figures. */
  note(line: string): void
}

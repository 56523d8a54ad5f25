/** Runs stages: contenders in turn, round after round, with what each run cost the server and the client. */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { asError } from '../src/lib/errors.js'
import type { Case, Contender, Length, Room, Sample, Stage } from './plan.js'
import { ownCpuS, usageOf } from './process_tree.js'
import { type CaseResult, type ContenderResult, formatNumber, type StageResult } from './report/results.js'
import { stopRunning } from './servers/daemon.js'
import { median, summarize } from './report/statistics.js'

export interface RunOptions extends Length {
  dir: string
  quick: boolean
  rounds: number
  /** Selected by the command line. */
  wantsCase(name: string): boolean
  wantsPeer(name: string): boolean
  say(line: string): void
  /** Asked before each run: what has been measured by then is the result. */
  interrupted(): boolean
}

/** A stage whose kind of subject nobody outside needs to know. */
export interface RunnableStage {
  name: string
  title: string
  cases: readonly { name: string; title: string; quick?: boolean }[]
  run(options: RunOptions): Promise<StageResult>
}

export function runnable<Subject>(stage: Stage<Subject>): RunnableStage {
  const { name, title, cases } = stage
  return { name, title, cases, run: (options) => runStage(stage, options) }
}

async function runStage<Subject>(stage: Stage<Subject>, options: RunOptions): Promise<StageResult> {
  const notes: string[] = []
  const room: Room = {
    dir: join(options.dir, stage.name),
    quick: options.quick,
    note: (line) => {
      notes.push(line)
      options.say(`  ${line}`)
    },
  }
  options.say(`${stage.title}: setting up`)
  await mkdir(room.dir, { recursive: true })
  const cases: CaseResult[] = []
  let contenders: Contender<Subject>[] = []
  try {
    contenders = await stage.open(room, (name) => name === 'atoll' || options.wantsPeer(name))
    for (const one of stage.cases.filter(({ name }) => options.wantsCase(name))) {
      if (options.interrupted()) break
      const result = await runCase(one, contenders, { ...options, ...room })
      if (result.contenders.length > 0) cases.push(result)
    }
  } finally {
    for (const { close } of contenders) await close()
    await stopRunning()
    if (!stage.removedLast) await rm(room.dir, { recursive: true, force: true })
  }
  return { name: stage.name, title: stage.title, cases, notes }
}

interface Run {
  sample: Sample
  serverCpuS: number | undefined
  clientCpuS: number
  unfair: string | undefined
}

async function runCase<Subject>(
  one: Case<Subject>,
  contenders: readonly Contender<Subject>[],
  options: RunOptions & Room,
): Promise<CaseResult> {
  const runs = new Map(contenders.filter(({ name }) => !one.without?.includes(name)).map((each) => [each, [] as Run[]]))
  const rounds = Math.min(options.rounds, one.rounds ?? options.rounds)
  for (let round = one.rounds === undefined ? -1 : 0; round < rounds; round++) {
    const seconds = round < 0 ? Math.min(1, options.seconds / 2) : options.seconds
    for (const [contender, done] of runs) {
      if (options.interrupted()) break
      try {
        const run = await measureAndTidy(one, contender, { seconds }, options.dir)
        if (round >= 0) done.push(run)
      } catch (error) {
        const [reason] = asError(error).message.split('\n')
        options.note(`${one.title}, ${contender.name}: failed, ${reason}`)
        if (contender.role === 'atoll') process.exitCode = 1
        runs.delete(contender)
      }
    }
  }
  const { name, title, unit, better, targets = [] } = one
  const result = {
    name,
    title,
    unit,
    better,
    targets,
    contenders: [...runs].flatMap(([each, done]) => (done.length > 0 ? [resultOf(each, done)] : [])),
  }
  const figures = result.contenders.map((each) => `${each.name} ${formatNumber(each.summary.median)}`)
  options.say(`  ${title}, ${unit}: ${figures.join(' · ')}`)
  return result
}

async function measureAndTidy<Subject>(
  one: Case<Subject>,
  contender: Contender<Subject>,
  length: Length,
  dir: string,
): Promise<Run> {
  try {
    return await measure(one, contender, length, dir)
  } finally {
    await one.tidy?.(contender.subject)
  }
}

async function measure<Subject>(
  one: Case<Subject>,
  { subject, serverPid }: Contender<Subject>,
  length: Length,
  dir: string,
): Promise<Run> {
  await one.prepare?.(subject)
  // What another contender wrote must not reach the disk at the cost of this one.
  await execa('sync', ['--file-system', dir])
  const pid = serverPid?.()
  const [clientBefore, serverBefore] = [ownCpuS(), pid === undefined ? undefined : usageOf(pid)]
  const sample = await one.run(subject, length)
  const serverAfter = pid === undefined ? undefined : usageOf(pid)
  const fromDisk = (serverAfter?.diskReadBytes ?? 0) - (serverBefore?.diskReadBytes ?? 0)
  return {
    sample,
    clientCpuS: ownCpuS() - clientBefore,
    serverCpuS: serverBefore && serverAfter && serverAfter.cpuS - serverBefore.cpuS,
    unfair: serverBefore && readsElsewhere(one.readsFrom, sample.bytesRead ?? 0, fromDisk),
  }
}

/** What is wrong about where the bytes came from. Some read-ahead, or a page that was pushed out, is no matter. */
export function readsElsewhere(
  wanted: 'page cache' | 'disk' | undefined,
  bytesRead: number,
  fromDisk: number,
): string | undefined {
  if (wanted === undefined || bytesRead === 0) return undefined
  const share = fromDisk / bytesRead
  const right = wanted === 'disk' ? share > 0.9 : share < 0.02
  return right
    ? undefined
    : `${Math.round(share * 100)} % of what was read came from the disk, not from where it should`
}

function resultOf({ name, role }: Contender<unknown>, runs: Run[]): ContenderResult {
  const values = runs.map(({ sample }) => sample.value)
  const perOperation = (cpuS: (run: Run) => number | undefined): number | undefined => {
    const each = runs.flatMap((run) => {
      const [spent, { operations }] = [cpuS(run), run.sample]
      return spent === undefined || !operations ? [] : [(spent / operations) * 1e6]
    })
    return each.length > 0 ? median(each) : undefined
  }
  const serverCpuUs = perOperation((run) => run.serverCpuS)
  const clientCpuUs = perOperation((run) => run.clientCpuS)
  const unfair = runs.find((run) => run.unfair !== undefined)?.unfair
  const names = Object.keys(runs[0]?.sample.more ?? {})
  const more = Object.fromEntries(
    names.map((what) => [what, summarize(runs.flatMap(({ sample }) => sample.more?.[what] ?? []))]),
  )
  return {
    name,
    role,
    values,
    summary: summarize(values),
    ...(serverCpuUs !== undefined && { serverCpuUs }),
    ...(clientCpuUs !== undefined && { clientCpuUs }),
    ...(names.length > 0 && { more }),
    ...(unfair !== undefined && { unfair }),
  }
}

/** Going on with a run that ended early: a machine that was needed for something else, a server that hung. */

import { readFile } from 'node:fs/promises'
import { asError } from '../src/lib/errors.js'
import type { Results, StageResult } from './report/results.js'

export async function readResults(file: string): Promise<Results> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Results
  } catch (error) {
    throw new Error(`no results of an earlier run in ${file}: ${asError(error).message}`)
  }
}

/** Its stages that need not be measured again: those that have all of the cases that are wanted. Throws where the runs do not fit together. */
export function keptStages(
  earlier: Results,
  now: {
    quick: boolean
    rounds: number
    seconds: number
    wanted: readonly { name: string; cases: readonly string[] }[]
  },
): StageResult[] {
  const { quick, rounds, seconds, wanted } = now
  if (earlier.command.split(' ').includes('--quick') !== quick)
    throw new Error(`the run to go on with was "${earlier.command}": with --quick, some cases have other sizes`)
  if (earlier.rounds !== rounds || earlier.seconds !== seconds)
    throw new Error(
      `the run to go on with had ${earlier.rounds} rounds of ${earlier.seconds} s, not ${rounds} of ${seconds} s`,
    )
  return earlier.stages.filter(({ name, cases }) => {
    const stage = wanted.find((each) => each.name === name)
    return stage === undefined || stage.cases.every((one) => cases.some((each) => each.name === one))
  })
}

/** Where something about the machine has changed since, both are told. */
export function machineOfBoth(earlier: Results['machine'], now: Results['machine']): Results['machine'] {
  return Object.fromEntries(
    Object.entries(now).map(([what, value]) => {
      const before = earlier[what]
      return [what, before === undefined || before === value ? value : `${before}; then ${value}`]
    }),
  )
}

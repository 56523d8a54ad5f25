/** The command line of scripts/bench. */

import { Command, InvalidArgumentError } from 'commander'

export interface Arguments {
  quick: boolean
  list: boolean
  /** Patterns with `*`; empty: all. */
  cases: string[]
  peers: string[]
  rounds: number
  seconds: number
  /** Where the results go. */
  out: string
  /** On the file system that is measured. */
  dir: string
  writeDocs: boolean
  /** The results.json of an earlier run, to be reported again; undefined: measure. */
  from?: string
  resume: boolean
}

export function parseArguments(argv: readonly string[], { build }: { build: string }): Arguments {
  const options = new Command('scripts/bench')
    .description(
      'Measures Atoll against the other servers of its kind on this machine. docs/notes/performance.md says more.',
    )
    .option('--quick', 'some cases in short rounds, 5 minutes in all', false)
    .option(
      '--case <pattern...>',
      'only cases whose name matches, or is in the stage that does (* stands for anything)',
      [],
    )
    .option('--peers <name...>', 'only these peers (default: all)', [])
    .option('--rounds <count>', 'counted runs of each case and contender (default: 5, quick: 3)', positive)
    .option(
      '--seconds <count>',
      'how long a run takes, where that is a matter of choice (default: 5, quick: 1)',
      positive,
    )
    .option('--list', 'print the names of the cases and end', false)
    .option('--out <dir>', 'where results.json, results.md and results.svg go', `${build}/results`)
    .option('--dir <dir>', 'where the servers have their data: the file system that is measured', `${build}/work`)
    .option('--write-docs', 'put the results into docs/notes/performance.md', false)
    .option('--resume', 'go on with the run of which --out has the results: what it measured is kept', false)
    .option('--from <file>', 'measure nothing: make tables and plot of the results.json of an earlier run')
    .parse([...argv], { from: 'user' })
    .opts<{ case: string[]; peers: string[]; rounds?: number; seconds?: number } & Omit<Arguments, 'cases'>>()
  const { quick, rounds = quick ? 3 : 5, seconds = quick ? 1 : 5 } = options
  return { ...options, cases: options.case, rounds, seconds }
}

function positive(text: string): number {
  const number = Number(text)
  if (!(number > 0 && number <= 3600)) throw new InvalidArgumentError('expected a number above 0, 3600 at most')
  return number
}

/** Whether one of the patterns is the name; no patterns: every name. */
export function matches(patterns: readonly string[], ...names: string[]): boolean {
  if (patterns.length === 0) return true
  return patterns.some((pattern) => {
    const expression = new RegExp(`^${pattern.split('*').map(literally).join('.*')}$`)
    return names.some((name) => expression.test(name))
  })
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** scripts/bench: measures what is asked for, and writes the results as JSON, Markdown and SVG. */

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { asError } from '../src/lib/errors.js'
import { matches, parseArguments } from './arguments.js'
import { writeDocs } from './report/docs.js'
import { describeMachine, loadNow } from './machine.js'
import { toMarkdown } from './report/markdown.js'
import { toSvg } from './report/plot.js'
import type { Results, StageResult } from './report/results.js'
import { keptStages, machineOfBoth, readResults } from './resume.js'
import type { RunnableStage } from './runner.js'
import { stages } from './stages.js'

const build = resolve('build/bench')
const args = parseArguments(process.argv.slice(2), { build })
const say = (line: string) => console.log(line)

/** Names. */
const casesWanted = ({ name: stage, cases }: RunnableStage): string[] =>
  cases
    .filter(({ name, quick }) => matches(args.cases, stage, name) && (!args.quick || args.cases.length > 0 || quick))
    .map(({ name }) => name)
const wanted = stages.filter((stage) => casesWanted(stage).length > 0)

try {
  await main()
} catch (error) {
  console.error(`scripts/bench: ${asError(error).message}`)
  process.exitCode = 1
}

async function main(): Promise<void> {
  if (args.from !== undefined) return publish(await readResults(args.from), { whole: true })
  if (wanted.length === 0) {
    console.error('no case has such a name (--list prints them all)')
    process.exitCode = 2
  } else if (args.list) {
    for (const stage of wanted) for (const one of casesWanted(stage)) say(`${stage.name}: ${one}`)
  } else {
    await run()
  }
}

async function run(): Promise<void> {
  const earlier = args.resume ? await readResults(join(resolve(args.out), 'results.json')) : undefined
  // Ends at the next opportunity, with what there is by then.
  let ending = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      ending = true
      say(`${signal}: ending after this run`)
    })
  const dir = join(resolve(args.dir), `run-${process.pid}`)
  await mkdir(dir, { recursive: true })
  const startedAt = new Date().toISOString()
  const load = loadNow()
  const { quick, rounds, seconds } = args
  const done: StageResult[] = earlier
    ? keptStages(earlier, {
        quick,
        rounds,
        seconds,
        wanted: wanted.map((stage) => ({ name: stage.name, cases: casesWanted(stage) })),
      })
    : []
  const kept = new Set(done.map(({ name }) => name))
  const machineNow = { ...(await describeMachine(dir)), 'load average before': load }
  const machine = earlier ? machineOfBoth(earlier.machine, machineNow) : machineNow
  const before = earlier && [...(earlier.before ?? []), { startedAt: earlier.startedAt, endedAt: earlier.endedAt }]
  const resultsSoFar = (): Results => ({
    machine,
    startedAt,
    endedAt: new Date().toISOString(),
    ...(before && { before }),
    command: ['scripts/bench', ...process.argv.slice(2)].join(' '),
    rounds,
    seconds,
    stages: stages.flatMap(({ name }) => done.filter((each) => each.name === name)),
  })
  try {
    for (const stage of wanted) {
      const { name, title } = stage
      if (kept.has(name)) continue
      const wantsCase = (one: string) => casesWanted(stage).includes(one)
      const wantsPeer = (peer: string) => matches(args.peers, peer)
      try {
        if (ending) break
        const interrupted = () => ending
        done.push(await stage.run({ dir, quick, rounds, seconds, wantsCase, wantsPeer, say, interrupted }))
      } catch (error) {
        // The others can still be measured.
        process.exitCode = 1
        say(`  ${title} failed: ${asError(error).message}`)
        done.push({ name, title, cases: [], notes: [`failed: ${asError(error).message}`] })
      }
      // Hours of figures must not hang on the last stage.
      await save(resultsSoFar())
    }
    await publish(resultsSoFar(), { whole: !ending })
  } finally {
    say('removing what was written (minutes, where a file system discards each piece of a file at once)')
    await rm(dir, { recursive: true, force: true })
  }
}

type Written = { markdown: string; svg: string }

async function save(results: Results): Promise<Written> {
  const out = resolve(args.out)
  await mkdir(out, { recursive: true })
  const [markdown, svg] = [toMarkdown(results), await toSvg(results)]
  await writeFile(join(out, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`)
  await writeFile(join(out, 'results.md'), `${markdown}\n`)
  await writeFile(join(out, 'results.svg'), svg)
  return { markdown, svg }
}

/** A run that was ended early shows what it has, but its part of the table must not stand where the whole one did. */
async function publish(results: Results, { whole }: { whole: boolean }): Promise<void> {
  const written = await save(results)
  if (args.writeDocs && whole) await writeDocs(written)
  say(`\n${written.markdown}\n\nin ${resolve(args.out)}: results.json, results.md, results.svg`)
  if (args.writeDocs && !whole) say('ended early: docs/notes/performance.md stays as it is, and --resume goes on')
}

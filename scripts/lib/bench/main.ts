/** scripts/bench: measures what is asked for, and writes the results as JSON, Markdown and SVG. */

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { asError } from '../../../src/lib/errors.js'
import { matches, parseArguments } from './arguments.js'
import { writeDocs } from './docs.js'
import { describeMachine, loadNow } from './machine.js'
import { toMarkdown } from './markdown.js'
import { toSvg } from './plot.js'
import type { Results, StageResult } from './results.js'
import { stages } from './stages.js'

const build = resolve('build/bench')
const args = parseArguments(process.argv.slice(2), { build })
const say = (line: string) => console.log(line)

const isWanted = (stage: string, one: { name: string; quick?: boolean }): boolean =>
  matches(args.cases, stage, one.name) && (!args.quick || args.cases.length > 0 || one.quick === true)
const wanted = stages.filter(({ name, cases }) => cases.some((one) => isWanted(name, one)))

if (wanted.length === 0) {
  console.error('no case has such a name (--list prints them all)')
  process.exitCode = 2
} else if (args.list) {
  for (const { name, cases } of wanted) for (const one of cases) if (isWanted(name, one)) say(`${name}: ${one.name}`)
} else {
  await run()
}

async function run(): Promise<void> {
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
  const done: StageResult[] = []
  const machine = { ...(await describeMachine(dir)), 'load average before': load }
  const save = () => {
    const command = ['scripts/bench', ...process.argv.slice(2)].join(' ')
    const { rounds, seconds } = args
    return write({ machine, startedAt, endedAt: new Date().toISOString(), command, rounds, seconds, stages: done })
  }
  try {
    for (const stage of wanted) {
      const { name, title, cases } = stage
      const { quick, rounds, seconds } = args
      const wantsCase = (one: string) => cases.some((each) => each.name === one && isWanted(name, each))
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
      await save()
    }
    report(await save())
  } finally {
    say('removing what was written (minutes, where a file system discards each piece of a file at once)')
    await rm(dir, { recursive: true, force: true })
  }
}

async function write(results: Results): Promise<string> {
  const out = resolve(args.out)
  await mkdir(out, { recursive: true })
  const [markdown, svg] = [toMarkdown(results), await toSvg(results)]
  await writeFile(join(out, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`)
  await writeFile(join(out, 'results.md'), `${markdown}\n`)
  await writeFile(join(out, 'results.svg'), svg)
  if (args.writeDocs) await writeDocs({ markdown, svg })
  return markdown
}

function report(markdown: string): void {
  say(`\n${markdown}\n\nin ${resolve(args.out)}: results.json, results.md, results.svg`)
}

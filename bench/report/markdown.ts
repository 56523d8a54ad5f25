/** The results as Markdown: what the machine was, a table for each stage, and every target that was missed. */

import {
  atollOf,
  atWork,
  bestPeer,
  type CaseResult,
  ceilingOf,
  formatNumber,
  judge,
  type Period,
  type Results,
  ratioTo,
} from './results.js'

export function toMarkdown(results: Results): string {
  return [machineTable(results), ...results.stages.map(stageSection), missedTable(results)].join('\n\n')
}

function machineTable({ machine, startedAt, endedAt, before = [], command, rounds, seconds }: Results): string {
  return table(
    ['what', ''],
    [
      ...Object.entries(machine),
      ['command', `\`${command}\``],
      ['when', [...before, { startedAt, endedAt }].map(inWords).join('; ')],
      ['runs', `after a warm-up ${rounds} rounds of ${seconds} s, medians (smallest–largest)`],
    ],
  )
}

function inWords({ startedAt, endedAt }: Period): string {
  const minutes = Math.round((Date.parse(endedAt) - Date.parse(startedAt)) / 60_000)
  return `${startedAt.slice(0, 16).replace('T', ' ')} UTC, for ${minutes} minutes`
}

function stageSection(stage: Results['stages'][number]): string {
  const lines = [`### ${stage.title}`, '']
  const targets = targetsOf(stage.cases)
  if (stage.cases.length > 0) lines.push(table(heads, stage.cases.map(caseRow)), '')
  const others = stage.cases.map((result) => [result.title, othersOf(result)]).filter(([, found]) => found !== '')
  if (others.length > 0) lines.push(table(['case', 'all others'], others), '')
  if (targets.length > 0) lines.push(`Targets: ${targets.map((target, i) => `${letter(i)} ${target}`).join('; ')}.`, '')
  lines.push(...extraLines(stage.cases), ...stage.notes.map((note) => `* ${note}`))
  return lines.join('\n').trimEnd()

  function caseRow(result: CaseResult): string[] {
    const met = judge(result).map(
      (one) => `${one.met === undefined ? '?' : one.met ? '✓' : '✗'} ${letter(targets.indexOf(one.target))}`,
    )
    return [...figures(result), met.join(', ') || '—']
  }
}

const heads = ['case', 'unit', 'Atoll', 'best peer', 'Atoll : best', 'server CPU µs/op', 'targets']

/** The targets of a stage, each once; a row names one by its letter, because their text is too long for a table. */
const targetsOf = (cases: CaseResult[]): string[] => [
  ...new Set(cases.flatMap((result) => judge(result).map(({ target }) => target))),
]
const letter = (index: number): string => String.fromCharCode('a'.charCodeAt(0) + index)

function othersOf(result: CaseResult): string {
  const [atoll, best] = [atollOf(result), bestPeer(result)]
  return result.contenders
    .filter((one) => one !== atoll && one !== best)
    .map((one) => `${one.name} ${formatNumber(one.summary.median)}${one.unfair ? ' †' : ''}`)
    .join(', ')
}

function figures(result: CaseResult): string[] {
  const atoll = atollOf(result)
  const best = bestPeer(result)
  const ratio = ratioTo(result, best)
  return [
    result.title,
    `${result.unit}${result.better === 'less' ? ' (less is better)' : ''}`,
    atoll ? spread(atoll) : '—',
    best ? `${best.name} ${spread(best)}` : '—',
    ratio === undefined ? '—' : ratio.toFixed(2),
    atoll?.serverCpuUs === undefined
      ? '—'
      : `${formatNumber(atoll.serverCpuUs)}${best?.serverCpuUs === undefined ? '' : ` : ${formatNumber(best.serverCpuUs)}`}`,
  ]
}

function spread({ summary: { median, min, max } }: { summary: { median: number; min: number; max: number } }): string {
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`
}

/** Figures beside the main one, and what was not fair. */
function extraLines(cases: CaseResult[]): string[] {
  return cases.flatMap(({ title, contenders }) =>
    contenders.flatMap(({ name, more, unfair }) => [
      ...(more
        ? [
            `* ${title}, ${name}: ${Object.entries(more)
              .map(([what, summary]) => `${what} ${spread({ summary })}`)
              .join(', ')}`,
          ]
        : []),
      ...(unfair ? [`* † ${title}, ${name}: not compared, ${unfair}`] : []),
    ]),
  )
}

function missedTable({ stages }: Results): string {
  const missed = stages.flatMap(({ title, cases }) =>
    cases.flatMap((result) =>
      judge(result)
        .filter(({ met }) => met === false)
        .map(({ target, found }) => [`${title}: ${result.title}`, target, found, ...bounds(result)]),
    ),
  )
  const judged = stages.flatMap(({ cases }) => cases.flatMap(judge)).filter(({ met }) => met !== undefined)
  const head = `### Targets\n\n${judged.length - missed.length} of ${judged.length} targets are met.`
  return missed.length === 0 ? head : `${head} Missed:\n\n${table(['case', 'target', 'found', ...boundHeads], missed)}`
}

const boundHeads = ['processors at work: server + client', 'what the machine itself gives (file, MD5)']

/** What there was to be had: a processor that is at work all the time, or a disk that gives no more, is the limit. */
function bounds(result: CaseResult): string[] {
  const busy = atWork(result)
  const ceiling = ceilingOf(result)
  return [
    busy ? `${busy.server.toFixed(2)} + ${busy.client.toFixed(2)}` : '—',
    ceiling ? `${ceiling.ratio.toFixed(2)} × ${ceiling.peer}` : '—',
  ]
}

function table(heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

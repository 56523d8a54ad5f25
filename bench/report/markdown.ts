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
  if (stage.cases.length > 0) lines.push(table(heads, stage.cases.map(caseRow)), '')
  lines.push(...extraLines(stage.cases), ...stage.notes.map((note) => `* ${note}`))
  return lines.join('\n').trimEnd()
}

const heads = ['case', 'unit', 'Atoll', 'best peer', 'Atoll : best', 'all others', 'server CPU µs/op', 'targets']

function caseRow(result: CaseResult): string[] {
  const atoll = atollOf(result)
  const best = bestPeer(result)
  const ratio = ratioTo(result, best)
  const others = result.contenders.filter((one) => one !== atoll && one !== best)
  return [
    result.title,
    `${result.unit}${result.better === 'less' ? ' (less is better)' : ''}`,
    atoll ? spread(atoll) : '—',
    best ? `${best.name} ${spread(best)}` : '—',
    ratio === undefined ? '—' : ratio.toFixed(2),
    others.map((one) => `${one.name} ${formatNumber(one.summary.median)}${one.unfair ? ' †' : ''}`).join(', ') || '—',
    atoll?.serverCpuUs === undefined
      ? '—'
      : `${formatNumber(atoll.serverCpuUs)}${best?.serverCpuUs === undefined ? '' : ` : ${formatNumber(best.serverCpuUs)}`}`,
    judge(result)
      .map(({ target, met }) => `${met === undefined ? '?' : met ? '✓' : '✗'} ${target}`)
      .join('; ') || '—',
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

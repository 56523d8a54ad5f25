/** The results as an SVG: for each case how many times better Atoll is than each peer, on a logarithmic scale. */

import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { type Results, ratioTo } from './results.js'

interface Point {
  stage: string
  case: string
  peer: string
  ratio: number
}

export async function toSvg(results: Results): Promise<string> {
  return new View(parse(compile(plotOf(pointsOf(results))).spec), { renderer: 'none' }).toSVG()
}

function pointsOf({ stages }: Results): Point[] {
  return stages.flatMap(({ title, cases }) =>
    cases.flatMap((result) =>
      result.contenders.flatMap((other) => {
        const ratio = other.role === 'atoll' ? undefined : ratioTo(result, other)
        return ratio === undefined ? [] : [{ stage: title, case: result.title, peer: other.name, ratio }]
      }),
    ),
  )
}

function plotOf(points: Point[]): TopLevelSpec {
  const ratio = { type: 'quantitative', scale: { type: 'log', nice: true } } as const
  return {
    background: 'white',
    data: { values: points },
    facet: {
      row: {
        field: 'stage',
        type: 'nominal',
        sort: null,
        title: null,
        header: { labelAngle: 0, labelAlign: 'left', labelOrient: 'top' },
      },
    },
    resolve: { scale: { y: 'independent' } },
    spec: {
      width: 560,
      layer: [
        { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { x: { datum: 1, ...ratio } } },
        {
          mark: { type: 'point', filled: true, size: 60 },
          encoding: {
            y: { field: 'case', type: 'nominal', sort: null, title: null, axis: { labelLimit: 360, grid: true } },
            x: { field: 'ratio', ...ratio, title: 'times better than the peer (right of 1: Atoll is ahead)' },
            color: { field: 'peer', type: 'nominal', title: 'peer' },
          },
        },
      ],
    },
  }
}

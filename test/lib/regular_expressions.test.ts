// No regular expression of the server takes longer than in proportion to the text that it is held against: a static analysis of
// each of them (scslre, the one behind eslint-plugin-regexp). test/http/shared/linear_parsers.test.ts measures the parsers.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { analyse } from 'scslre'
import t from 'tap'
import ts from 'typescript'

interface Found {
  place: string
  source: string
  flags: string
}

/** The literals of a source file, and the texts that are made into expressions: the `pattern` of schemas. */
function expressionsIn(path: string): Found[] {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true)
  const found: Found[] = []
  const add = (node: ts.Node, source: string, flags: string) => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart())
    found.push({ place: `${path}:${line + 1}`, source, flags })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/')
      add(node, node.text.slice(1, end), node.text.slice(end + 1))
    } else if (ts.isStringLiteral(node) && node.text.startsWith('^') && node.text.endsWith('$'))
      add(node, node.text, '')
    else if (ts.isNewExpression(node) && node.expression.getText() === 'RegExp')
      found.push({ place: path, source: '', flags: 'dynamic' })
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** What takes more than linear time; a search that may begin anywhere counts too. */
function complaintsAbout({ source, flags }: Found): string[] {
  const { reports } = analyse({ source, flags })
  return reports.map(({ type, exponential }) => `${type}, ${exponential ? 'exponential' : 'polynomial'}`)
}

const sources = execFileSync('git', ['ls-files', 'src'], { encoding: 'utf8' })
  .split('\n')
  .filter((path) => path.endsWith('.ts'))
const found = sources.flatMap(expressionsIn)

t.test('no regular expression in src takes more than linear time', async (t) => {
  t.ok(found.length > 50, `${found.length} expressions`)
  t.same(
    found.filter(({ flags }) => flags === 'dynamic'),
    [],
    'none is made of what is known at run time only',
  )
  for (const expression of found)
    t.same(complaintsAbout(expression), [], `${expression.place} /${expression.source}/${expression.flags}`)
})

t.test('one that takes quadratic or exponential time is noticed', async (t) => {
  for (const source of ['^\\s*(\\d*)\\s*-', '\\/+$', '^(a+)+$'])
    t.not(complaintsAbout({ place: '', source, flags: '' }).length, 0, source)
})

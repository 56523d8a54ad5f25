/** `--help` of the scripts: printed without Node.js, npm packages or a build. */

import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import t from 'tap'
import { settingNames } from '../../src/server/settings/table.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const scripts = readdirSync(join(root, 'scripts'), { withFileTypes: true })
  .filter(
    (entry) =>
      entry.isFile() && readFileSync(join(root, 'scripts', entry.name), 'utf8').startsWith('#!/usr/bin/env bash'),
  )
  .map(({ name }) => name)

/** A PATH in which no compiler, no package manager and no Node.js can be found. */
function plainPath(folder: string): string {
  mkdirSync(folder)
  for (const name of ['bash', 'env', 'sed', 'awk', 'dirname', 'mkdir', 'cat', 'id'])
    symlinkSync(`/usr/bin/${name}`, join(folder, name))
  return folder
}

t.test('each bash script prints its help with nothing installed', async (t) => {
  t.ok(scripts.length >= 9)
  const env = { PATH: plainPath(join(t.testdir(), 'bin')) }
  for (const name of scripts)
    for (const flag of ['--help', '-h']) {
      const help = await execa(join(root, 'scripts', name), [flag], { env, extendEnv: false, reject: false })
      t.match(help, { exitCode: 0, stderr: '' }, `${name} ${flag}`)
      t.match(help.stdout, new RegExp(`scripts/${name}|settings`), `${name} ${flag}`)
    }
})

t.test('scripts/serve --help lists every setting', async (t) => {
  const { stdout } = await execa(join(root, 'scripts/serve'), ['--help'])
  for (const name of settingNames) t.match(stdout, new RegExp(`^  --${name}( <[a-z:]+>)? +[A-Z]`, 'm'), name)
})

t.test('scripts/bench --help lists every option', async (t) => {
  const { stdout } = await execa(join(root, 'scripts/bench'), ['--help'])
  const source = readFileSync(join(root, 'bench/arguments.ts'), 'utf8')
  const options = [...source.matchAll(/\.option\(\s*'(--[a-z-]+)/g)].map(([, option = '']) => option)
  t.ok(options.length >= 10)
  for (const option of options) t.match(stdout, new RegExp(`^  ${option} `, 'm'), option)
})

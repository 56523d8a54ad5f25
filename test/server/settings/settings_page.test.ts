/** docs/reference/settings.md is the table of settings. `ATOLL_UPDATE_DOCS=1` writes the page again. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  defaultAsText,
  environmentName,
  groups,
  helpLine,
  type SettingName,
  settingNames,
  settings,
} from '../../../src/server/settings/table.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const page = join(root, 'docs/reference/settings.md')

const lineMax = 140

function section(name: SettingName): string {
  const { argument, type, help, details } = settings[name]
  const values = type.list ? `${type.expected} (in the environment: separated by commas)` : type.expected
  return [
    // scripts/serve --help prints this heading and the paragraph after it.
    `### \`--${name}${argument === undefined ? '' : ` <${argument}>`}\``,
    `${help[0]?.toUpperCase()}${wrap(help.slice(1))}.`,
    ...(details === undefined ? [] : [wrap(details)]),
    [
      `* Values: ${values}`,
      `* Default: \`${defaultAsText(settings[name])}\``,
      `* Environment: \`${environmentName(name)}\``,
    ].join('\n'),
  ].join('\n\n')
}

/** Breaks lines between words. */
function wrap(text: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= lineMax) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}

const write = (): string => `# Settings of \`atoll serve\`

A setting is given by a flag, by an environment variable or in a configuration file. A flag takes precedence over the environment, the
environment over the file, and the file over the default. The value with the highest precedence replaces the others; lists are not joined.
A flag that is given twice takes its last value; \`--nbd\` may be repeated instead.

The file is named by \`--config FILE\` or \`ATOLL_CONFIG\`. It is YAML (so it may be JSON), and its keys are the names of the flags without \`--\`:

\`\`\`yaml
data: /srv/atoll
nbd: [127.0.0.1:10809, "unix:/run/atoll/nbd.sock"]
log-level: warn
\`\`\`

An empty variable counts as not given. An unknown key in the file, and a value that is not one of those listed here, stop the start with
a message that names the source. With [sockets passed in](nbd.md#socket-activation), \`--http\` and \`--nbd\` have no default.

This page is generated from \`src/server/settings/table.ts\`:
\`ATOLL_UPDATE_DOCS=1 npx tap --disable-coverage test/server/settings/settings_page.test.ts\`.

${groups.map((group) => [`## ${group}`, ...settingNames.filter((name) => settings[name].group === group).map(section)].join('\n\n')).join('\n\n')}
`

t.test('docs/reference/settings.md lists the settings of the source', async (t) => {
  const text = write()
  if (process.env.ATOLL_UPDATE_DOCS) writeFileSync(page, text)
  t.ok(readFileSync(page, 'utf8') === text, 'up to date (ATOLL_UPDATE_DOCS=1 brings it there)')
})

t.test('the help of each setting is one line below 80 characters with its default', async (t) => {
  for (const name of settingNames) {
    const line = helpLine(settings[name])
    t.ok(line.length < 80, `${name}: ${line.length} characters: ${line}`)
    t.notMatch(line, /[\n.]$|\n/, name)
    t.match(line, /^([a-z]|[A-Z]{2})/, `${name} starts in lower case`)
    if (settings[name].argument !== undefined) t.match(line, / \(default: [^)]+\)$/, name)
    else t.equal(settings[name].default, false, `${name} is a switch, and off unless given`)
  }
})

t.test('each setting has a group and is resolved from its default', async (t) => {
  for (const name of settingNames) {
    const { group, type, default: given } = settings[name]
    t.ok(groups.includes(group), name)
    if (given !== undefined) t.doesNotThrow(() => type.parse(typeof given === 'function' ? given('data') : given), name)
  }
})

/**
 * Resolves the settings of `atoll serve` (table.ts). Each can be given by a flag, by the environment or in a configuration file; a
 * flag wins over the environment, the environment over the file, and the file over the default. Lists are replaced, not joined.
 *
 * The file is YAML (and so may be JSON), with the names of the flags as keys:
 *
 *   data: /srv/atoll
 *   nbd: [127.0.0.1:10809, unix:/run/atoll/nbd.sock]
 */

import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { asError, defineError } from '../../lib/errors.js'
import { nearestName } from '../../lib/nearest_name.js'
import { camelCase, environmentName, type ServeSettings, type SettingName, settingNames, settings } from './table.js'
import { shown } from './value_types.js'

export const BadSetting = defineError('bad_setting', 400, '%s: %s')
export const ConfigUnreadable = defineError('config_unreadable', 400, 'cannot read the configuration file %s: %s')

/** Values that are not parsed yet. */
export type Given = Partial<Record<SettingName, unknown>>

interface Source {
  given: Given
  /** Names the source of a value in errors. */
  label(name: SettingName): string
}

/**
 * Throws BadSetting, ConfigUnreadable. `flags` are those of the command line. `activated`: sockets were passed in, and replace the
 * default addresses.
 */
export function resolveSettings(
  flags: Given,
  env: NodeJS.ProcessEnv,
  configPath: string | undefined,
  activated = false,
): ServeSettings {
  const file = configPath ?? env[environmentName('config')]
  const sources: Source[] = [
    { given: flags, label: (name) => `--${name}` },
    { given: fromEnvironment(env), label: environmentName },
    ...(file ? [{ given: readConfig(file), label: (name: SettingName) => `${file}: ${name}` }] : []),
  ]
  const data = resolve('data', sources, { activated, data: '' }) as string
  const entries = settingNames.map((name) => [camelCase(name), resolve(name, sources, { activated, data })])
  return Object.fromEntries(entries)
}

function resolve(name: SettingName, sources: Source[], { activated, data }: { activated: boolean; data: string }) {
  const { type, default: fallback } = settings[name]
  const source = sources.find(({ given }) => given[name] !== undefined)
  if (source !== undefined) {
    try {
      return type.parse(source.given[name])
    } catch (error) {
      throw new BadSetting(source.label(name), asError(error).message)
    }
  }
  // With sockets passed in, the server opens no others by default.
  if (activated && name === 'nbd') return []
  if (activated && name === 'http') return undefined
  if (fallback === undefined) return undefined
  return type.parse(typeof fallback === 'function' ? fallback(data) : fallback)
}

function fromEnvironment(env: NodeJS.ProcessEnv): Given {
  const given: Given = {}
  for (const name of settingNames) {
    const value = env[environmentName(name)]
    if (value !== undefined && value !== '')
      given[name] = settings[name].type.list ? value.split(',').map((item) => item.trim()) : value
  }
  return given
}

function readConfig(path: string): Given {
  let content: unknown
  try {
    content = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    // The lines after the first show the place in the file.
    throw new ConfigUnreadable(path, asError(error).message.split('\n', 1)[0] ?? '')
  }
  if (content === null) return {}
  if (typeof content !== 'object' || Array.isArray(content))
    throw new ConfigUnreadable(path, `expected settings such as "data: /srv/atoll", got ${shown(content)}`)
  for (const key of Object.keys(content)) {
    if (!Object.hasOwn(settings, key)) throw new BadSetting(`${path}: ${key}`, unknownSetting(key))
  }
  return content
}

function unknownSetting(key: string): string {
  // Written like a flag or a variable, perhaps.
  const name = key
    .toLowerCase()
    .replaceAll('_', '-')
    .replace(/^(--|atoll-)/, '')
  const nearest = nearestName(name, settingNames)
  return nearest === undefined
    ? 'there is no such setting (atoll serve --help lists them)'
    : `there is no such setting; did you mean "${nearest}"?`
}

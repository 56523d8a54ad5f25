/** `--data` of the commands other than `atoll serve`: the data directory, by the same default and variable as the server's. */

import { Option } from 'commander'
import { defaultAsText, environmentName, settings } from '../server/settings/table.js'

const variable = environmentName('data')
const fallback = defaultAsText(settings.data)

/** `whose` names the directory in the help. */
export const dataOption = (whose: string): Option =>
  new Option('--data <dir>', `${whose} (default: $${variable} or ${fallback})`)

/** The data directory that the option, or else the environment, names. */
export function dataOf({ data }: { data?: string }): string {
  return data ?? (process.env[variable] || fallback)
}

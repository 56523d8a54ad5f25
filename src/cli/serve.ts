/** `atoll serve`: runs the server. Its options are the table of settings. */

import { Command, Option } from 'commander'
import { serve } from '../server/server.js'
import type { Given } from '../server/settings/settings.js'
import { camelCase, groups, helpLine, settingNames, settings } from '../server/settings/table.js'

export function serveCommand(): Command {
  const command = new Command('serve').description('run the server')
  for (const group of groups)
    for (const name of settingNames) {
      const setting = settings[name]
      if (setting.group !== group) continue
      const flag = setting.argument === undefined ? `--${name}` : `--${name} <${setting.argument}>`
      const option = new Option(flag, helpLine(setting)).helpGroup(`${group}:`)
      if (setting.type.list) option.argParser((value: string, before: string[] = []) => [...before, value])
      command.addOption(option)
    }
  return command
    .option('--config <file>', 'configuration file (YAML or JSON) with settings')
    .addHelpText(
      'after',
      `
A setting can also come from the environment (--log-level as ATOLL_LOG_LEVEL, commas separate the items of a list) or from the
configuration file (--config or ATOLL_CONFIG), whose keys are the names of the flags without "--". A flag takes precedence over
the environment, and the environment over the file. docs/reference/settings.md describes each setting in full.

The first start creates the user "admin" with a random password, and writes its credentials to DIR/openrc/admin.sh.
SIGINT or SIGTERM shuts the server down; a second signal ends it immediately.`,
    )
    .action(async (options: Record<string, unknown>) => {
      const flags: Given = {}
      for (const name of settingNames) flags[name] = options[camelCase(name)]
      await serve(flags, options['config'] as string | undefined)
    })
}

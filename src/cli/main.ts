#!/usr/bin/env node
/** The command `atoll`. */

import { Command, CommanderError, Option } from 'commander'
import { environmentName, type Given, type SettingName, settings } from '../server/settings.js'
import { AtollError, asError } from '../lib/errors.js'
import { check } from './check.js'
import { printable, printError } from '../lib/printing.js'
import { reconnect } from './reconnect.js'
import { serve } from '../server/server.js'
import { status } from './status.js'
import { createUser } from './user.js'
import { version } from '../lib/version.js'

// Who stops reading what is printed (`atoll serve --help | head`) is no error, and no reason for a server to end. Nor is a full disk
// under the file that the output goes to; but a command whose output is lost fails.
let outputIsLost = false
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOSPC' || error.code === 'EDQUOT') outputIsLost = true
    else if (error.code !== 'EPIPE') throw error
  })
process.on('exit', (code) => {
  if (outputIsLost && code === 0 && program.args[0] !== 'serve') process.exitCode = 2
})

const program = new Command('atoll')
  .description('One copy-on-write store with four doors: Swift objects, Glance images, Cinder volumes and NBD exports.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .showHelpAfterError('(--help says more)')
  .exitOverride()

const serving = program
  .command('serve')
  .description('run the server')
  .addHelpText(
    'after',
    `
Each setting can also be given by the environment (--log-level as ATOLL_LOG_LEVEL, lists with commas between) or in a
configuration file (--config or ATOLL_CONFIG; YAML or JSON, with the names of the flags as keys).
A flag wins over the environment, that over the file.

The first start makes a user "admin" with a random password and writes how to log in to DIR/openrc/admin.sh.
SIGINT or SIGTERM ends the server in order; a second one ends it at once.`,
  )
for (const { name, argument, repeatable, words } of settings) {
  const option = new Option(argument ? `--${name} <${argument}>` : `--${name}`, words)
  if (repeatable) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
  serving.addOption(option)
}
serving.option('--config <file>', 'a configuration file').action(async (options: Record<string, unknown>) => {
  const flags: Given = {}
  for (const { name } of settings) flags[name] = options[camelCase(name)]
  await serve(flags, options.config as string | undefined)
})

program
  .command('check')
  .description('check a store that no server is using')
  .option('--data <dir>', `the data directory (default: ./data, or ${environmentName('data')})`)
  .option('--content', 'also read all stored content and compare it with its digests (slow)')
  .addOption(new Option('--verify-data', 'the same as --content').implies({ content: true }))
  .option('--repair', 'put right what can be put right without losing anything, and check again')
  .option('--json', 'print the findings as JSON')
  .addHelpText(
    'after',
    '\nExit status: 0 nothing is wrong (any more, with --repair), 1 something is, 2 the check could not be made.\n' +
      'docs/internals/reliability.md has a table of all that it can find, and of what --repair does.',
  )
  .action(async (options: { data?: string; content?: boolean; repair?: boolean; json?: boolean }) => {
    process.exitCode = await check({ ...options, data: dataOf(options) })
  })

program
  .command('status')
  .description('say how a running server does')
  .option('--data <dir>', `its data directory (default: ./data, or ${environmentName('data')})`)
  .option('--json', 'print everything as JSON')
  .option('--exports', 'print a table of the NBD exports: requests, bytes, errors, latencies')
  .addHelpText('after', '\nExit status: 0 it runs, 1 it does not, 2 it could not be asked.')
  .action(async (options: { data?: string; json?: boolean; exports?: boolean }) => {
    process.exitCode = await status({ ...options, data: dataOf(options) })
  })

program
  .command('reconnect')
  .description("end a volume's NBD connections, so that its clients connect again")
  .argument('<volume>', "the volume's ID, or its name if no other volume has it")
  .option('--data <dir>', `data directory of the server (default: ./data, or ${environmentName('data')})`)
  .addHelpText(
    'after',
    `
An NBD client learns the size of an export when it connects: run this after a volume in use was extended. Requests in flight
are answered first. Later ones are not; QEMU with reconnect-delay and atoll-attach send them again when they have connected
again. Clients that do not reconnect lose the volume.

Exit status: 0 no connection is left, or there was none; 1 there is no such volume, the name is not unique, no server is
running, or a connection still waits for requests in flight after 10 seconds (it ends when they have been answered).`,
  )
  .action(async (volume: string, options: { data?: string }) => {
    process.exitCode = await reconnect({ volume, data: dataOf(options) })
  })

program
  .command('user')
  .description('manage users')
  .command('create')
  .description('make a user with a role in a project (the project is made when it is absent)')
  .argument('<name>', 'the name to log in by')
  .requiredOption('--project <name>', 'the project')
  .addOption(
    new Option('--role <role>', 'what the user may do there').choices(['admin', 'member', 'reader']).default('member'),
  )
  .option('--password-file <file>', 'a file whose first line is the password')
  .option('--password-stdin', 'read the password from standard input')
  .option('--data <dir>', `the data directory (default: ./data, or ${environmentName('data')})`)
  .addHelpText(
    'after',
    `
Works on the catalog itself, whether a server is using it or not (the catalog takes several processes): who may write to
the data directory needs no token. The server must have been started there once. The user can log in at once.`,
  )
  .action(async (name: string, options: UserOptions) => {
    await createUser({ ...options, name, data: dataOf(options) })
  })

interface UserOptions {
  project: string
  role: string
  passwordFile?: string
  passwordStdin?: boolean
  data?: string
}

function dataOf({ data }: { data?: string }): string {
  return data ?? (process.env[environmentName('data')] || './data')
}

function camelCase(name: SettingName): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

try {
  await program.parseAsync()
} catch (error) {
  // Help and version come here too, with exit code 0; commander has said what there is to say.
  if (error instanceof CommanderError) process.exitCode = error.exitCode
  else {
    const known = error instanceof AtollError
    printError(`atoll: ${known ? printable(error.message) : (asError(error).stack ?? asError(error).message)}`)
    process.exitCode = program.args[0] === 'check' || program.args[0] === 'status' ? 2 : 1
  }
}

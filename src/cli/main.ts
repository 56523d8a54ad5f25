#!/usr/bin/env node
/** The `atoll` command. */

import { Command, CommanderError } from 'commander'
import { AtollError, asError } from '../lib/errors.js'
import { printable, printError } from '../lib/printing.js'
import { version } from '../lib/version.js'
import { checkCommand } from './check.js'
import { reconnectCommand } from './reconnect.js'
import { serveCommand } from './serve.js'
import { statusCommand } from './status.js'
import { userCommand } from './user.js'

// A reader that closes the pipe early (`atoll serve --help | head`) is no error, and must not stop a server. Neither must a full disk;
// but a command whose output is lost fails.
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
  .description('Copy-on-write storage for Swift objects, Glance images, Cinder volumes and NBD exports.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .showHelpAfterError('(see --help)')
  .exitOverride()
for (const command of [serveCommand(), checkCommand(), statusCommand(), reconnectCommand(), userCommand()]) {
  for (const each of [command, ...command.commands]) each.copyInheritedSettings(program)
  program.addCommand(command)
}

try {
  await program.parseAsync()
} catch (error) {
  // Help and version end here too, with exit code 0; commander has printed its message.
  if (error instanceof CommanderError) process.exitCode = error.exitCode
  else {
    const known = error instanceof AtollError
    printError(`atoll: ${known ? printable(error.message) : (asError(error).stack ?? asError(error).message)}`)
    process.exitCode = program.args[0] === 'check' || program.args[0] === 'status' ? 2 : 1
  }
}

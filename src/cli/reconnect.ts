/** `atoll reconnect`: ends a volume's NBD connections, so that its clients connect again and learn its current size. */

import { Command } from 'commander'
import { DataDirectory } from '../core/directory/data_directory.js'
import type { Reconnected } from '../core/exports/exports.js'
import { askToReconnect } from '../server/control_client.js'
import { print, printable, printError } from '../lib/printing.js'
import { dataOf, dataOption } from './data_option.js'

export const reconnectCommand = (): Command =>
  new Command('reconnect')
    .description("end a volume's NBD connections, so that its clients reconnect")
    .argument('<volume>', 'ID of the volume, or its name if no other volume has it')
    .addOption(dataOption("the server's data directory"))
    .addHelpText(
      'after',
      `
An NBD client learns the size of an export when it connects: run this after extending a volume that is in use. The server
completes requests in flight first, and does not accept later ones; QEMU with reconnect-delay and atoll-attach send them again
after reconnecting. Clients that do not reconnect lose the volume.

Exit status: 0 if no connection is left; 1 if there is no such volume, if its name is not unique, if no server is running, or if
a connection still has requests in flight after 10 seconds (it ends when they complete).`,
    )
    .action(async (volume: string, options: { data?: string }) => {
      process.exitCode = await reconnect({ volume, data: dataOf(options) })
    })

/** Returns the exit status: 0 when no connection is left. Throws ServerRefuses, DirectoryMissing. */
async function reconnect({ volume, data }: { volume: string; data: string }): Promise<number> {
  const directory = new DataDirectory(data)
  directory.mustExist()
  const answer = await askToReconnect(directory.controlSocket, volume)
  if (answer === undefined) {
    printError(`atoll: no server is running on ${printable(directory.path)}`)
    return 1
  }
  print(textOf(answer))
  return answer.remaining === 0 ? 0 : 1
}

function textOf({ volume: name, ended, remaining }: Reconnected): string {
  const volume = printable(name)
  if (ended + remaining === 0) return `${volume} has no NBD connections`
  const done = `${volume}: ${connections(ended)} ended`
  if (remaining === 0) return done
  return `${done}; ${connections(remaining)} still waiting for requests in flight`
}

function connections(count: number): string {
  return count === 1 ? '1 NBD connection' : `${count} NBD connections`
}

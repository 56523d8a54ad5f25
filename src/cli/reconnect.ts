/** `atoll reconnect`: ends a volume's NBD connections, so that its clients connect again and learn its present size. */

import { DataDirectory } from '../core/directory/data_directory.js'
import type { Reconnected } from '../core/exports/exports.js'
import { askToReconnect } from '../server/control_client.js'
import { print, printable, printError } from '../lib/printing.js'

/** Returns the exit status: 0 when no connection is left. Throws ServerRefuses, DirectoryMissing. */
export async function reconnect({ volume, data }: { volume: string; data: string }): Promise<number> {
  const directory = new DataDirectory(data)
  directory.mustExist()
  const answer = await askToReconnect(directory.controlSocket, volume)
  if (answer === undefined) {
    printError(`atoll: no server is running on ${printable(directory.path)}`)
    return 1
  }
  print(inWords(answer))
  return answer.remaining === 0 ? 0 : 1
}

function inWords({ volume: name, ended, remaining }: Reconnected): string {
  const volume = printable(name)
  if (ended + remaining === 0) return `${volume} has no NBD connections`
  const done = `${volume}: ${connections(ended)} ended`
  if (remaining === 0) return done
  return `${done}; ${connections(remaining)} still waiting for requests in flight`
}

function connections(count: number): string {
  return count === 1 ? '1 NBD connection' : `${count} NBD connections`
}

/** What Node cannot ask of the operating system: the service manager's socket, and sockets that this process was started with. */

import { asError } from '../lib/errors.js'
import { InheritedSocketUnusable } from './errors.js'
import { loadAddon } from './load.js'

/**
 * Returns the address that the descriptor listens on, `HOST:PORT` or `unix:PATH`, and sets its close-on-exec flag. Throws
 * InheritedSocketUnusable unless it is a listening stream socket of TCP or a Unix socket with a path.
 */
export function inheritedSocketAddress(fd: number): string {
  try {
    return loadAddon().inheritedSocketAddress(fd)
  } catch (error) {
    throw new InheritedSocketUnusable(asError(error).message, { cause: error })
  }
}

/** Sends the lines to the service manager's socket (sd_notify(3)). Throws if nothing listens at this address. */
export function notifyServiceManager(address: string, state: string): void {
  loadAddon().notifyServiceManager(address, state)
}

/** Sockets that this process was started with: Node cannot ask a descriptor what it is. */

import { asError } from '../lib/errors.js'
import { loadAddon } from './load.js'
import { InheritedSocketUnusable } from './errors.js'

/**
 * The address that the descriptor listens on, `HOST:PORT` or `unix:PATH`; programs that we start will not have it. Throws
 * InheritedSocketUnusable for all but a listening stream socket of TCP, or of a unix socket with a file.
 */
export function inheritedSocketAddress(fd: number): string {
  try {
    return loadAddon().inheritedSocketAddress(fd)
  } catch (error) {
    throw new InheritedSocketUnusable(asError(error).message, { cause: error })
  }
}

/**
 * File descriptors: how many connections the process may have at one time.
 *
 * Node raises the soft limit to the hard one when it starts (RLIMIT_NOFILE). Of that, two fifths are the store's
 * (native/store/local/local_data_store.cc), and some are for everything else; connections get the rest. When the settings ask for more, both kinds of connections
 * get the same share of what they ask for: whoever connects beyond that is refused or displaced in order, and the operator's sockets
 * and the store never run out of descriptors.
 */

import { readFileSync } from 'node:fs'

export interface ConnectionCounts {
  http: number
  nbd: number
}

export interface Fitted extends ConnectionCounts {
  /** undefined: what was asked for. */
  warning?: string
}

/** The catalog, RocksDB (512), threads' queues, listeners, the control socket, reserves of connections. */
const othersMax = 1024
const filesMax = 65_536
const leastConnections = 8
/** A download that is sent past Node has a descriptor of its own (native/io/socket_sender.h). */
const perHttpConnection = 2

/** `limit`: of the process; undefined: none, or unknown. */
export function fitToDescriptors(wanted: ConnectionCounts, limit: number | undefined): Fitted {
  if (limit === undefined) return wanted
  const files = Math.min(Math.floor(limit / 5) * 2, filesMax)
  const room = limit - files - Math.min(othersMax, Math.floor(limit / 5))
  const needed = wanted.http * perHttpConnection + wanted.nbd
  if (needed <= room) return wanted
  const fit = (count: number) => Math.min(count, Math.max(leastConnections, Math.floor((count * room) / needed)))
  const fitted = { http: fit(wanted.http), nbd: fit(wanted.nbd) }
  const words =
    `a limit of ${limit} file descriptors is too low for ${wanted.http} HTTP and ${wanted.nbd} NBD connections: ` +
    `${fitted.http} and ${fitted.nbd} are served; raise it to ${limitFor(needed)} (LimitNOFILE=, ulimit -n)`
  return { ...fitted, warning: words }
}

/** The inverse of the above, for limits beyond those at which the others have their maximum. */
function limitFor(needed: number): number {
  const limit = Math.ceil(((needed + othersMax) * 5) / 3)
  return limit <= (filesMax / 2) * 5 ? limit : needed + othersMax + filesMax
}

/** The soft limit of this process; undefined: there is none, or it is unknown. */
export function descriptorLimit(): number | undefined {
  const found = /^Max open files\s+(\d+)\s/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return found ? Number(found[1]) : undefined
}

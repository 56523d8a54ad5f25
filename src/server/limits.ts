/** The limits of the HTTP and NBD servers, as the settings and the file descriptors of the process allow. */

import type { NbdLimits } from '../engine/nbd.js'
import type { HttpLimits } from '../http/app.js'
import { shareOfProject } from '../lib/default_limits.js'
import type { Logger } from '../lib/log.js'
import { descriptorLimit, fitToDescriptors } from './descriptors.js'
import type { ServeSettings } from './settings/table.js'

/** Returns the limits in force. Logs it if there are too few file descriptors for all connections. */
export function limitsOf(settings: ServeSettings, log: Logger) {
  const wanted = { http: settings.httpMaxConnections, nbd: settings.nbdMaxConnections }
  const { http, nbd, warning } = fitToDescriptors(wanted, descriptorLimit())
  // Slightly less than wanted is normal.
  const level = 2 * http < wanted.http || 2 * nbd < wanted.nbd ? 'warn' : 'info'
  if (warning !== undefined) log[level](warning)
  const httpLimits: Partial<HttpLimits> = {
    connections: http,
    connectionsOfClient: settings.httpMaxClientConnections,
    uploads: settings.httpMaxUploads,
    uploadRate: settings.httpMinUploadRate,
    idleMs: 1000 * settings.httpIdleTimeout,
  }
  const nbdLimits: NbdLimits = {
    connections: nbd,
    connectionsOfExport: settings.nbdMaxExportConnections,
    connectionsOfProject: settings.nbdMaxProjectConnections ?? shareOfProject(nbd),
    handshakeSeconds: settings.nbdHandshakeTimeout,
    idleSeconds: settings.nbdIdleTimeout,
    peerTimeoutSeconds: settings.nbdPeerTimeout,
  }
  return { httpLimits, nbdLimits }
}

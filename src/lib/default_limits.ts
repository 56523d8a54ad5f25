/** Limits that hold unless a setting changes them. The table of settings, the HTTP app and the engine all take them from here. */

export const defaultHttpLimits = {
  connections: 4096,
  uploads: 128,
  uploadBytesPerSecondMin: 1024,
  idleSeconds: 60,
}

export const defaultNbdLimits = {
  connections: 4096,
  connectionsOfExport: 64,
  handshakeSeconds: 10,
  /** Never. */
  idleSeconds: 0,
  peerTimeoutSeconds: 90,
}

/** What one project's exports may use of all NBD connections. */
export const shareOfProject = (connections: number): number => Math.ceil(connections / 2)

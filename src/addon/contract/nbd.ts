/** The NBD server: listeners, export names, TLS, limits and counters. native/node/objects/nbd.cc. */

export type NbdDoor = 'operator' | 'tenant'

/** The export that a name stands for. The server holds one lease of the resource until the connection ends. */
export interface NativeExport {
  /** The resource, opened (leased once) by the resolver for this connection. */
  resourceId: string
  readOnly: boolean
  description: string
  /** Its name in counters and reports. */
  label: string
  /** The project whose share of the connections is used; empty: none. */
  project: string
}

/** The canonical name of the export that an operator's client asked for, or the reason for its client why there is none. */
export type NativeFoundExport = { name: string } | { refusal: string }

/** The queries of LIST_META_CONTEXT (`list`: true; no names: all contexts; `ns:` and `ns:kind:` are prefixes) or SET_META_CONTEXT. */
export interface NativeContextQueries {
  list: boolean
  names: string[]
}

/** A metadata context of an export, other than base:allocation; the kinds are those of `StatusQuestion` in block_device.h. */
export interface NativeContext {
  name: string
  kind: 'depth' | 'decided' | 'changed'
  /** changed: the ancestor, opened (leased once) by the resolver for this connection. Not needed in a list. */
  since?: { resourceId: string; layer: number; sizeBytes: number }
}

/** NBD connections: those that ended in time, and those that still have requests in flight. */
export interface NativeReconnected {
  ended: number
  remaining: number
}

export interface NativeNbdOptions {
  /** `HOST:PORT` (IPv6 hosts in brackets; port 0 picks one) or `unix:PATH`. */
  address: string
  door: NbdDoor
  /** off: STARTTLS is unsupported; opportunistic: if the client requests it; required: every other option is refused before it. */
  tls: NbdTlsMode
  /** Mode of the socket file; only for `unix:`. */
  mode?: number
  /** The descriptor of a listening socket that this process was started with, in place of `address`; the engine owns it from then on. */
  inherited?: number | undefined
}

export type NbdTlsMode = 'off' | 'opportunistic' | 'required'

/** The contents of PEM and key files; empty: none. */
export interface NativeTlsMaterial {
  certificate: string
  key: string
  clientCa: string
  /** Certificates of clients that their CA has revoked (PEM); empty: none. */
  clientCrl: string
  /** Clients must show a certificate. */
  verifyPeer: boolean
  /** Lines of USER:HEXKEY. */
  psk: string
  /** A GnuTLS priority string; empty: the default. */
  priority: string
}

/** A connection that a TLS error ended. */
export interface NativeTlsFailure {
  door: NbdDoor
  /** HOST:PORT. */
  peer: string
  /** Printable. */
  message: string
  /** How many failures since the last report were not reported: unauthenticated peers cause them, so reports are limited. */
  suppressed: number
}

/** A client's request that the storage failed. */
export interface NativeRequestFailure {
  door: NbdDoor
  /** {@link NativeExport.label} */
  label: string
  /** `WRITE`, as NBD's protocol calls it. */
  command: string
  offset: number
  /** 0: the command has no range. */
  length: number
  code: 'io' | 'corrupt' | 'no_space'
  /** The system call, the file and its error. */
  message: string
  /** How many failures of any export since the last report were not reported: clients cause them, so reports are limited. */
  suppressed: number
}

export interface NativeNbdCallbacks {
  /** Resolves a name given to the operator's listener. `open` and `contexts` are then called with the canonical name. */
  find(name: string): Promise<NativeFoundExport>
  /** Returns null if there is no such export, or none for this listener. A rejection is logged; the client gets ERR_POLICY. */
  open(door: NbdDoor, name: string): Promise<NativeExport | null>
  /** Returns the names for LIST. */
  list(door: NbdDoor): Promise<string[]>
  /** For the log. */
  tlsFailed(failure: NativeTlsFailure): void
  /** For the log. */
  requestFailed(failure: NativeRequestFailure): void
  /** Returns the contexts of the export that the queries select; others are ignored. A rejection fails the client's option. */
  contexts(door: NbdDoor, name: string, queries: NativeContextQueries): Promise<NativeContext[]>
}

export interface NativeNbdLimits {
  /** In total, not 0. Some are reserved for operators' sockets (native/nbd/protocol/limits.h). */
  connections: number
  /** Of one export over TCP, not 0. */
  connectionsOfExport: number
  /** Of the exports of one project over TCP, not 0. */
  connectionsOfProject: number
  /** From accept to the choice of an export, not 0. */
  handshakeSeconds: number
  /** Connections without a request for this long are closed; 0: never. */
  idleSeconds: number
  /** A TCP connection ends when its peer acknowledges nothing for this long; not 0. */
  peerTimeoutSeconds: number
}

/**
 * Counters of one NBD export since its first connection (docs/reference/nbd.md "Counters"); all but `connections` only grow.
 * `name` is {@link NativeExport.label}, never the export name, which may be a secret.
 */
export interface NativeExportCounters {
  door: NbdDoor
  name: string
  connections: number
  /** All connections so far. */
  accepted: number
  /** By command; refused ones included. */
  requests: {
    read: number
    write: number
    flush: number
    trim: number
    cache: number
    writeZeroes: number
    blockStatus: number
    disconnect: number
  }
  /** Requests answered with an error. */
  errors: number
  bytesRead: number
  bytesWritten: number
  /** Request counts by duration: under 1 µs, then of [2^(i-1), 2^i) µs in bucket i; the last of 24 buckets has no upper bound. */
  latencyUs: { read: number[]; write: number[]; flush: number[]; other: number[] }
}

export interface NativeNbd {
  /** Once, before the first `listen`. */
  configure(callbacks: NativeNbdCallbacks, limits: NativeNbdLimits): void
  /** Before the first `listen` with TLS, and again when the files have changed. Connections accepted later use it. */
  setTls(material: NativeTlsMaterial): void
  /** Returns the bound address with the real port. */
  listen(options: NativeNbdOptions): Promise<string>
  /** Drains and closes every connection that used this export name, because its attachment was deleted. */
  disconnect(name: string): Promise<void>
  /** Ends the connections of these exports so that their clients reconnect: `NbdServer::reconnect` of native/nbd/server/server.h. */
  reconnect(names: string[]): Promise<NativeReconnected>
  /** Sorted by listener and name. Does not wait for the reactors. */
  exportCounters(): NativeExportCounters[]
}

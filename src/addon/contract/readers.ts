/**
 * Read handles: read-only resources, each opened for one reader (native/engine/space/readings.h), and their bytes sent to sockets
 * without passing through JavaScript. native/node/objects/readers.cc.
 */

import type { NativeResourceSpec } from './resources.js'

declare const socketBrand: unique symbol
/** Opaque. */
export type NativeSocket = { readonly [socketBrand]: true }

/** A number that is valid from `begin` to `end`. */
export type NativeReadHandle = number

export interface NativeSending {
  socket: NativeSocket
  sent: Promise<void>
}

export interface NativeReaders {
  /** Opens the resource for one reader, synchronously, until `end` or `shutdown`. Throws `invalid` unless it is read-only. */
  begin(spec: NativeResourceSpec): NativeReadHandle
  read(handle: NativeReadHandle, offset: number, length: number): Promise<Buffer>
  /**
   * Sends the range to the non-blocking stream socket `fd` (native/io/socket_sender.h). The descriptor is duplicated before the
   * call returns, so its owner may close it; nobody else may write to the socket until `sent` settles. `head` leaves right before
   * the first byte of the range, and not at all if that byte cannot be read. `sent` rejects with `cancelled` when the client is
   * gone or `cancelSend` was called; any part of the range may have been sent by then.
   * Throws `invalid` unless `fd` is such a socket, `busy` when the process has no descriptor left.
   */
  send(handle: NativeReadHandle, fd: number, offset: number, length: number, head: Buffer): NativeSending
  /** Returns at once; calls in flight complete, and the bytes stay readable for them. Idempotent. */
  end(handle: NativeReadHandle): void
  /** Ends the connection and the transfer to it. */
  cancelSend(socket: NativeSocket): void
  /** True if any byte may have been sent. */
  sendBegan(socket: NativeSocket): boolean
  /** How long the client has accepted no byte that was offered to it; 0 while nothing waits for it. */
  sendWaitedMs(socket: NativeSocket): number
}

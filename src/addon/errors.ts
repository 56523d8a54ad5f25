/** What the engine's failures mean to the ones above: native codes become errors of the catalogue. */

import { AtollError, asError, type DefinedError, defineError } from '../lib/errors.js'
import type { NativeErrorCode } from './contract.js'

export const AddonMissing = defineError(
  'addon_missing',
  500,
  'the native part of Atoll is not built: %s is missing; run `npm run build:native` (or scripts/serve, which does it)',
)
export const AddonBroken = defineError('addon_broken', 500, 'the native part of Atoll cannot be loaded from %s: %s')

export const EngineInvalid = defineError('engine_invalid', 500, 'the engine refuses a request: %s')
export const EngineNotFound = defineError('engine_not_found', 500, 'the engine does not know this: %s')
export const EngineExists = defineError('engine_exists', 500, 'the engine has this already: %s')
export const EngineReadOnly = defineError('engine_read_only', 403, 'this cannot be written: %s')
export const EngineOutOfRange = defineError('engine_out_of_range', 416, 'this is past the end: %s')
export const StorageFull = defineError('storage_full', 507, 'there is no space left: %s')
export const StorageFailed = defineError('storage_failed', 500, 'the storage failed: %s')
export const StorageCorrupt = defineError('storage_corrupt', 500, 'the storage is damaged: %s')
export const EngineBusy = defineError('engine_busy', 503, 'this is in use: %s')
export const Cancelled = defineError('cancelled', 499, 'the request was given up: %s')
export const EngineStopping = defineError('engine_stopping', 503, 'the server is shutting down: %s')
export const EngineUnsupported = defineError('engine_unsupported', 501, 'this is not supported here: %s')
export const TlsUnusable = defineError('tls_unusable', 400, 'TLS for NBD cannot be set up: %s')
export const EngineTooLarge = defineError('engine_too_large', 413, 'this is over a limit: %s')
export const InheritedSocketUnusable = defineError(
  'inherited_socket_unusable',
  400,
  'a socket that was passed in by LISTEN_FDS cannot be used: %s',
)

const byCode: Record<NativeErrorCode, DefinedError> = {
  invalid: EngineInvalid,
  not_found: EngineNotFound,
  exists: EngineExists,
  read_only: EngineReadOnly,
  out_of_range: EngineOutOfRange,
  no_space: StorageFull,
  io: StorageFailed,
  corrupt: StorageCorrupt,
  busy: EngineBusy,
  cancelled: Cancelled,
  shutdown: EngineStopping,
  unsupported: EngineUnsupported,
  too_large: EngineTooLarge,
}

const ofEngine: ReadonlySet<unknown> = new Set(Object.values(byCode))

/**
 * What a client may know of an error: the details of the engine's own name files of this server. undefined: it is not one of
 * them, and has no such details.
 */
export function withoutDetail(error: AtollError): string | undefined {
  const definition = error.constructor as unknown as DefinedError
  return ofEngine.has(definition) ? definition.message.replace(': %s', '') : undefined
}

/** The native error as one of ours, its cause kept. What is no native error stays what it is. */
export function fromNative(error: unknown): Error {
  const cause = asError(error)
  if (cause instanceof AtollError) return cause
  const code = (cause as { code?: unknown }).code
  if (typeof code !== 'string' || !Object.hasOwn(byCode, code)) return cause
  return new byCode[code as NativeErrorCode](cause.message, { cause })
}

/** Awaits a native call. The error is made here, so that its stack shows who asked. */
export async function native<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw fromNative(error)
  }
}

export const isBusy = (error: unknown): boolean => error instanceof EngineBusy

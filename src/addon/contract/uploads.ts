/** Uploads: bytes from JavaScript into a new layer. native/node/objects/uploads.cc. */

export interface NativeIngestResult {
  sizeBytes: number
  /** Of all the bytes, 32 lower-case hexadecimal digits. */
  md5: string
  /** Of all the bytes, 64 lower-case hexadecimal digits; null for more than 4 MiB, unless requested. */
  sha256: string | null
  /** Content chunks that were new to the store; all others were stored already (deduplicated) or zero. */
  newChunks: number
}

export interface NativeUploads {
  /** Starts an upload into a new layer and returns a handle. `sha256`: compute the SHA-256 of all bytes, whatever their number. */
  start(layer: number, options: { sha256: boolean }): number
  /**
   * Returns undefined if all bytes were copied and there is room for more; otherwise a promise (back-pressure), and `data` must not
   * change until it settles. One call at a time per handle.
   */
  write(handle: number, data: Uint8Array): Promise<void> | undefined
  /** Resolves when everything is durable. */
  finish(handle: number): Promise<NativeIngestResult>
  /** A whole upload of at most 4 MiB in one call. A failed one leaves nothing. `data` must not change until the promise settles. */
  whole(layer: number, data: Uint8Array): Promise<NativeIngestResult>
  /** Frees everything that the upload stored. Allowed after a failed `write` or `finish`. Idempotent. */
  abort(handle: number): Promise<void>
}

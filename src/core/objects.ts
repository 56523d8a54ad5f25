/** Objects: put, get, head, post, delete, copy. A copy moves no data. */
import type { Readable } from 'node:stream'
import type { ByteSource, KeptHeaders, Metadata, ProjectCaller, StoredObject } from './records.js'

export interface ObjectRef {
  projectId: string
  container: string
  object: string
}

export interface PutObject {
  body: ByteSource
  /** Content-Length; the upload must have exactly so many bytes (else UploadTruncated). */
  lengthBytes?: number | undefined
  /** The MD5 that the client expects (32 hexadecimal digits): ChecksumMismatch (422) otherwise, and nothing is stored. */
  md5?: string | undefined
  /** UploadTooLarge beyond. */
  maxBytes?: number | undefined
  contentType: string
  metadata?: Metadata | undefined
  headers?: KeptHeaders | undefined
  /** If-None-Match: * - ObjectExists (412) when there is one, judged again when the upload ends. */
  onlyIfNew?: boolean | undefined
  signal?: AbortSignal | undefined
}

export interface ByteRange {
  start: number
  /** The byte behind the last. */
  end: number
}

export interface OpenObject {
  object: StoredObject
  /**
   * The bytes of the range (all of it by default), with back-pressure; may be called several times (multipart ranges).
   * An object that is deleted or replaced meanwhile is read to its end all the same.
   */
  read(range?: ByteRange): Readable
  /** Must be called when no stream is read any more (a stream's end does not do it). Idempotent. */
  close(): Promise<void>
}

export declare class Objects {
  /** Throws ContainerNotFound, UploadTruncated, ChecksumMismatch, UploadTooLarge, ObjectExists; a failed or aborted upload leaves nothing. */
  put(caller: ProjectCaller, ref: ObjectRef, upload: PutObject): Promise<StoredObject>
  /** Throws ContainerNotFound, ObjectNotFound. */
  head(caller: ProjectCaller, ref: ObjectRef): Promise<StoredObject>
  /** For reading. The caller must close it. */
  open(caller: ProjectCaller, ref: ObjectRef): Promise<OpenObject>
  /** POST: metadata is replaced as a whole; headers too when given; contentType when given. */
  update(
    caller: ProjectCaller,
    ref: ObjectRef,
    change: { metadata: Metadata; headers?: KeptHeaders | undefined; contentType?: string | undefined },
  ): Promise<void>
  delete(caller: ProjectCaller, ref: ObjectRef): Promise<void>
  /**
   * In O(1). `fresh`: the source's metadata and headers are left behind; otherwise the given ones are added to the
   * source's. `to` may be `from` (then it changes metadata).
   */
  copy(
    caller: ProjectCaller,
    paths: { from: ObjectRef; to: ObjectRef },
    options?: {
      metadata?: Metadata | undefined
      headers?: KeptHeaders | undefined
      contentType?: string | undefined
      fresh?: boolean | undefined
      onlyIfNew?: boolean | undefined
    },
  ): Promise<{ source: StoredObject; copy: StoredObject }>
}

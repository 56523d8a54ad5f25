/** How a GET or HEAD reads an object: `?multipart-manifest=get`, `?symlink=get`, and the links that it leads through. */

import type { FastifyRequest } from 'fastify'
import type { Content, ReadAs } from '../../../../core/objects/contents.js'
import { linksMax } from '../../../../core/objects/contents.js'
import {
  LargeObjectTooLong,
  LinkTargetChanged,
  ManifestTooDeep,
  SegmentMismatch,
  SegmentMissing,
  TooManyLinks,
} from '../../../../core/model/errors.js'
import type { Core } from '../../../../core/core.js'
import { callersOf } from './callers.js'
import type { ObjectRef } from '../../../../core/model/object_ref.js'
import { AtollError } from '../../../../lib/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { SwiftError } from '../errors.js'
import { objectUrl } from '../urls.js'
import { accountPrefix, type ObjectTarget } from './target.js'

/** Segments that do not fit their manifest; Swift answers these with its standard page. */
const conflicts = [LargeObjectTooLong, ManifestTooDeep, SegmentMismatch, SegmentMissing]

export class Reading {
  readonly as: ReadAs
  readonly #target: ObjectTarget
  readonly #raw: boolean
  /** Where the last link led. */
  #followed: ObjectRef | undefined

  constructor(core: Core, request: FastifyRequest, target: ObjectTarget) {
    this.#target = target
    this.#raw = queryParameter(request, 'format') === 'raw'
    this.as = {
      follow: queryParameter(request, 'symlink') === 'get' ? 'none' : 'all',
      manifest: queryParameter(request, 'multipart-manifest') === 'get',
      callerOf: callersOf(core, request, target),
      onFollow: (ref) => {
        this.#followed = ref
      },
    }
  }

  /** Of the answer: where the bytes are, and what kind of thing they are. */
  headers({ object, large }: Content): Record<string, string> {
    const isManifest = this.as.manifest && !this.#raw && large === undefined && object.indirection?.kind === 'static'
    return { ...this.#location(), ...(isManifest ? { 'content-type': 'application/json; charset=utf-8' } : {}) }
  }

  /** Runs `work`; an error that a link led to says where. */
  async located<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#located(error)
    }
  }

  #located(error: unknown): unknown {
    const headers = this.#location()
    if (error instanceof SwiftError) {
      return new SwiftError(error.status, error.text, { ...error.headers, ...headers })
    }
    if (error instanceof TooManyLinks) {
      return new SwiftError(409, `Too many levels of symbolic links, maximum allowed is ${linksMax}`)
    }
    if (error instanceof LinkTargetChanged) return new SwiftError(409, error.message, headers)
    if (conflicts.some((kind) => error instanceof kind)) return new SwiftError(409, undefined, headers)
    const isRefusal = error instanceof AtollError && error.status < 500 && error.status !== 400
    return isRefusal && this.#followed !== undefined ? new SwiftError(error.status, undefined, headers) : error
  }

  #location(): Record<string, string> {
    if (this.#followed === undefined) return {}
    const account = `${accountPrefix}${this.#followed.projectId}`
    return { 'content-location': objectUrl({ ...this.#target, ...this.#followed, account }) }
  }
}

/** What /info promises and the handlers enforce; the numbers are Swift's defaults where clients rely on them. */

import { MiB, maxResourceBytes } from '../../../lib/units.js'
import { SwiftError } from './errors.js'

export const limits = {
  objectBytes: maxResourceBytes,
  accountNameBytes: 256,
  containerNameBytes: 256,
  objectNameBytes: 1024,
  listing: 10_000,
  /** Of a static large object: segments that are objects, bytes of JSON, levels of manifests within each other. */
  manifestSegments: 1000,
  manifestBytes: 8 * MiB,
  manifestLevels: 10,
  /** Of all manifests together, when they are deleted with their segments. */
  segmentsToDelete: 10_000,
  bulkDeletes: 10_000,
  bulkDeleteBytes: 16 * MiB,
  failedDeletes: 1000,
} as const

/** The only one. Clients copy its name from a container's HEAD into their PUTs. */
export const storagePolicy = 'standard'

/** Of signed URLs. */
export const tempUrlMethods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'] as const
/** As Swift's own default; SHA-1 is listed as deprecated in `/info`. */
export const tempUrlDigests = ['sha1', 'sha256', 'sha512'] as const

/** What carries metadata of its own: `X-Account-Meta-*` and so on. */
export type MetadataOwner = 'account' | 'container' | 'object'

export const metadataLimits = {
  nameBytes: 128,
  valueBytes: 256,
  count: 90,
  totalBytes: 4096,
} as const

export function checkContainerName(container: string): void {
  const bytes = Buffer.byteLength(container)
  if (container.includes('/')) throw new SwiftError(400, 'Container name cannot contain slashes')
  if (bytes > limits.containerNameBytes) {
    const text = `Container name length of ${bytes} longer than ${limits.containerNameBytes}`
    throw new SwiftError(400, text, { 'content-type': 'text/html; charset=UTF-8' })
  }
}

export function checkObjectName(object: string): void {
  const bytes = Buffer.byteLength(object)
  if (bytes > limits.objectNameBytes) {
    throw new SwiftError(400, `Object name length of ${bytes} longer than ${limits.objectNameBytes}`)
  }
}

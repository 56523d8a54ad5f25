/** What /info promises and the handlers enforce; the numbers are Swift's defaults where clients rely on them. */

import { maxResourceBytes } from '../../../lib/units.js'
import { SwiftError } from './errors.js'

export const limits = {
  objectBytes: maxResourceBytes,
  accountNameBytes: 256,
  containerNameBytes: 256,
  objectNameBytes: 1024,
  listing: 10_000,
} as const

export function checkContainerName(container: string): void {
  const bytes = Buffer.byteLength(container)
  if (container.includes('/')) throw new SwiftError(400, 'Container name cannot contain slashes')
  if (bytes > limits.containerNameBytes) {
    throw new SwiftError(400, `Container name length of ${bytes} longer than ${limits.containerNameBytes}`)
  }
}

export function checkObjectName(object: string): void {
  const bytes = Buffer.byteLength(object)
  if (bytes > limits.objectNameBytes) {
    throw new SwiftError(400, `Object name length of ${bytes} longer than ${limits.objectNameBytes}`)
  }
}

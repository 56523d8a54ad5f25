/**
 * The user's own metadata: `X-Account-Meta-*`, `X-Container-Meta-*`, `X-Object-Meta-*`.
 *
 * Names are tokens (RFC 9110, 5.6.2; Node's parser sees to that) in lower case, as HTTP does not tell cases apart. Values are
 * text (header_text.ts).
 */

import type { IncomingHttpHeaders } from 'node:http'
import type { MetadataChange as CoreChange } from '../../../../core/objects/accounts.js'
import { SwiftError } from '../errors.js'
import { headerText } from '../header_text.js'
import { type MetadataOwner, metadataLimits } from '../limits.js'

type Metadata = Record<string, string>

/** A change of metadata: an empty value, and `X-Remove-<Owner>-Meta-*`, take an item away. */
export interface MetadataChange {
  set: Metadata
  remove: string[]
}

/** Parses the request's metadata headers. Throws 400 with Swift's text. */
export function metadataChange(headers: IncomingHttpHeaders, owner: MetadataOwner): MetadataChange {
  const set = new Map<string, string>()
  const remove: string[] = []
  const prefix = `x-${owner}-meta-`
  const removePrefix = `x-remove-${owner}-meta-`
  for (const [header, raw] of Object.entries(headers)) {
    if (header.startsWith(removePrefix) && owner !== 'object') remove.push(metadataName(header, removePrefix))
    if (!header.startsWith(prefix)) continue
    const name = metadataName(header, prefix)
    const value = headerText(Array.isArray(raw) ? raw.join(', ') : (raw ?? ''))
    if (Buffer.byteLength(value) > metadataLimits.valueBytes) {
      throw new SwiftError(
        400,
        `Metadata value longer than ${metadataLimits.valueBytes}: X-${title(owner)}-Meta-${name}`,
      )
    }
    // An object's metadata is replaced as a whole, so that there an empty value only means that it is not there.
    if (value === '') remove.push(name)
    else set.set(name, value)
  }
  // fromEntries defines members: a name like __proto__ is one as any other.
  const values: Metadata = Object.fromEntries(set)
  checkMetadataSize(values)
  return { set: values, remove: remove.filter((name) => !set.has(name)) }
}

/** Throws 400 when what would be stored is too much; also to be asked of the outcome of a change. */
export function checkMetadataSize(metadata: Metadata): void {
  const entries = Object.entries(metadata)
  if (entries.length > metadataLimits.count) {
    throw new SwiftError(400, `Too many metadata items; max ${metadataLimits.count}`)
  }
  const totalBytes = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
  if (totalBytes > metadataLimits.totalBytes) {
    throw new SwiftError(400, `Total metadata too large; max ${metadataLimits.totalBytes}`)
  }
}

/** The change as core takes it: the limits hold for its outcome. */
export function coreChange({ set, remove }: MetadataChange): CoreChange {
  return { setMetadata: set, removeMetadata: remove, checkMetadata: checkMetadataSize }
}

function metadataName(header: string, prefix: string): string {
  const name = header.slice(prefix.length)
  if (name === '') throw new SwiftError(400, 'Metadata name cannot be empty')
  if (Buffer.byteLength(name) > metadataLimits.nameBytes) {
    throw new SwiftError(400, `Metadata name too long: ${name.slice(0, metadataLimits.nameBytes)}`)
  }
  return name
}

function title(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

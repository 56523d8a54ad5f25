/** How a listing looks: lines of text, JSON or XML (swift/common/middleware/listing_formats.py). */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ContainerSummary, ObjectSummary } from '../../core/records.js'
import { SwiftError } from './errors.js'
import { listingTime } from './timestamps.js'

export type ListingFormat = 'text/plain' | 'application/json' | 'application/xml' | 'text/xml'

type Field = string | number
type Row = Record<string, Field>

/** `?format=` decides, else Accept. Throws 406 when the client takes none of ours. */
export function listingFormat(request: FastifyRequest, format: string | undefined): ListingFormat {
  if (format) return formats.get(format.toLowerCase()) ?? 'text/plain'
  return acceptedFormat(request.headers.accept)
}

const formats: ReadonlyMap<string, ListingFormat> = new Map([
  ['json', 'application/json'],
  ['xml', 'application/xml'],
])
const offered: ListingFormat[] = ['text/plain', 'application/json', 'application/xml', 'text/xml']

function acceptedFormat(accept: string | undefined): ListingFormat {
  if (!accept) return 'text/plain'
  let best: { format: ListingFormat; quality: number } | undefined
  for (const item of accept.split(',').slice(0, 50)) {
    const [type = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1)
    if (!(quality > 0)) continue
    const match = offered.find(
      (format) => type === format || type === '*/*' || (type.endsWith('/*') && format.startsWith(type.slice(0, -1))),
    )
    if (match && (best === undefined || quality > best.quality)) best = { format: match, quality }
  }
  if (!best) throw new SwiftError(406)
  return best.format
}

export function containerRow(container: ContainerSummary): Row {
  return {
    name: container.name,
    count: container.objectCount,
    bytes: container.bytesUsed,
    last_modified: listingTime(container.updatedAt),
  }
}

export function objectRow(object: ObjectSummary): Row {
  return {
    name: object.name,
    hash: object.md5,
    bytes: object.sizeBytes,
    content_type: object.contentType,
    last_modified: listingTime(object.updatedAt),
  }
}

export interface Listing {
  of: 'account' | 'container'
  /** Of the account or container that is listed. */
  name: string
  rows: Row[]
}

/** 204 for an empty listing in plain text, as Swift does; 200 otherwise. */
export function sendListing(reply: FastifyReply, format: ListingFormat, listing: Listing): FastifyReply {
  const body = formatListing(format, listing)
  void reply.code(body === '' ? 204 : 200).type(`${format}; charset=utf-8`)
  return reply.send(body === '' ? undefined : body)
}

function formatListing(format: ListingFormat, listing: Listing): string {
  if (format === 'application/json') return JSON.stringify(listing.rows)
  if (format === 'text/plain') return listing.rows.map((row) => `${row.subdir ?? row.name}\n`).join('')
  const entry = listing.of === 'account' ? 'container' : 'object'
  const body = listing.rows.map((row) => xmlRow(entry, row)).join('')
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${listing.of} name="${xmlText(listing.name)}">${body}</${listing.of}>`
}

function xmlRow(entry: string, row: Row): string {
  if (row.subdir !== undefined) {
    const name = xmlText(String(row.subdir))
    return `<subdir name="${name}"><name>${name}</name></subdir>`
  }
  const fields = Object.entries(row).map(([field, value]) => `<${field}>${xmlText(String(value))}</${field}>`)
  return `<${entry}>${fields.join('')}</${entry}>`
}

function xmlText(text: string): string {
  const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return (
    text
      .replace(/[&<>"]/g, (character) => escapes[character] as string)
      // Control characters have no place in XML 1.0, escaped or not.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
      .replace(/[\x00-\x08\x0B\x0C\x0E-\x1F]/g, '\uFFFD')
  )
}

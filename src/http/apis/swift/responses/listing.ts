/** Listings as text, JSON or XML (swift/common/middleware/listing_formats.py). */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SlicePace } from '../../../../core/lists/slices.js'
import type { ContainerSummary, Listed, ObjectSummary } from '../../../../core/model/records.js'
import { sendPieces } from '../../../shared/pieces.js'
import type { ListingFormat } from '../media_types.js'
import { listingTime } from './timestamps.js'

type Field = string | number
type Row = Record<string, Field>

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

export interface Listing<Summary> {
  of: 'account' | 'container'
  /** Of the account or container that is listed. */
  name: string
  slices: AsyncIterable<Listed<Summary>[]>
  pace: SlicePace
  row: (summary: Summary) => Row
}

/**
 * Sends a listing of any length in pieces. Clients take a listing with fewer rows than they asked for as the last one, so none ends
 * early. 204 for an empty one in plain text, as Swift does; 200 otherwise.
 */
export function sendListing<Summary>(
  request: FastifyRequest,
  reply: FastifyReply,
  format: ListingFormat,
  listing: Listing<Summary>,
): Promise<FastifyReply> {
  return sendPieces(request, reply.type(`${format}; charset=utf-8`), formatListing(format, listing))
}

/** Pieces of text; they may be empty. */
async function* formatListing<Summary>(
  format: ListingFormat,
  listing: Listing<Summary>,
): AsyncGenerator<string, void, void> {
  const { before, row, between, after } = formOf(format, listing)
  let text = before
  let first = true
  for await (const slice of listing.slices) {
    const rows = slice.map((line) => row(line.kind === 'subdir' ? { subdir: line.subdir } : listing.row(line.item)))
    const joined = rows.join(between)
    listing.pace.made(rows.length, joined.length)
    text += first || joined === '' ? joined : between + joined
    if (joined !== '') first = false
    yield text
    text = ''
  }
  yield text + after
}

function formOf<Summary>(format: ListingFormat, { of, name }: Listing<Summary>) {
  if (format === 'application/json') return { before: '[', row: JSON.stringify, between: ',', after: ']' }
  if (format === 'text/plain')
    return { before: '', row: (row: Row) => `${row.subdir ?? row.name}\n`, between: '', after: '' }
  const entry = of === 'account' ? 'container' : 'object'
  return {
    before: `<?xml version="1.0" encoding="UTF-8"?>\n<${of} name="${xmlText(name)}">`,
    row: (row: Row) => xmlRow(entry, row),
    between: '',
    after: `</${of}>`,
  }
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

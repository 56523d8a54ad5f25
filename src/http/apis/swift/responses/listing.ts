/** Listings as text, JSON or XML (swift/common/middleware/listing_formats.py). */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SlicePace } from '../../../../core/lists/slices.js'
import type { ContainerSummary, Listed, ObjectSummary } from '../../../../core/model/records.js'
import { listedBytes } from '../../../../core/model/indirection.js'
import { sendPieces } from '../../../shared/pieces.js'
import { objectUrl } from '../urls.js'
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
    hash: object.md5 ?? '',
    bytes: listedBytes(object),
    content_type: object.contentType,
    last_modified: listingTime(object.updatedAt),
  }
}

/** What JSON alone shows of manifests and links; `account`: of the container that is listed. */
export function indirectionFields({ indirection }: ObjectSummary, account: string): Row {
  if (indirection?.kind === 'static') return { slo_etag: `"${indirection.etag}"` }
  if (indirection?.kind !== 'link') return {}
  const { expected } = indirection
  return {
    symlink_path: objectUrl({ ...indirection, account: indirection.account ?? account }),
    ...(expected === undefined ? {} : { symlink_etag: expected.etag, symlink_bytes: expected.sizeBytes }),
    ...(expected?.largeEtag === undefined ? {} : { slo_etag: `"${expected.largeEtag}"` }),
  }
}

export interface Listing<Summary extends { name: string }> {
  of: 'account' | 'container'
  /** Of the account or container that is listed. */
  name: string
  slices: AsyncIterable<Listed<Summary>[]>
  pace: SlicePace
  row: (summary: Summary) => Row
  /** Fields that JSON alone has. */
  jsonFields?: (summary: Summary) => Row
}

/**
 * Sends a listing of any length in pieces. Clients take a listing with fewer rows than they asked for as the last one, so none ends
 * early. 204 for an empty one in plain text, as Swift does; 200 otherwise.
 */
export function sendListing<Summary extends { name: string }>(
  request: FastifyRequest,
  reply: FastifyReply,
  format: ListingFormat,
  listing: Listing<Summary>,
): Promise<FastifyReply> {
  return sendPieces(request, reply.type(`${format}; charset=utf-8`), formatListing(format, listing))
}

/** Pieces of text; they may be empty. */
async function* formatListing<Summary extends { name: string }>(
  format: ListingFormat,
  listing: Listing<Summary>,
): AsyncGenerator<string, void, void> {
  const { before, row, between, after } = formOf(format, listing)
  let text = before
  let first = true
  for await (const slice of listing.slices) {
    const rows = slice.map(row)
    const joined = rows.join(between)
    listing.pace.made(rows.length, joined.length)
    text += first || joined === '' ? joined : between + joined
    if (joined !== '') first = false
    yield text
    text = ''
  }
  yield text + after
}

function formOf<Summary extends { name: string }>(format: ListingFormat, listing: Listing<Summary>) {
  const { of, name, row, jsonFields } = listing
  type Line = Listed<Summary>
  // A time and all other fields of each line are not made for a format that shows the name alone.
  if (format === 'text/plain') {
    const text = (line: Line) => `${line.kind === 'subdir' ? line.subdir : line.item.name}\n`
    return { before: '', row: text, between: '', after: '' }
  }
  const fields = (line: Line): Row => (line.kind === 'subdir' ? { subdir: line.subdir } : row(line.item))
  if (format === 'application/json') {
    const more = (line: Line): Row => (line.kind === 'item' ? (jsonFields?.(line.item) ?? {}) : {})
    return {
      before: '[',
      row: (line: Line) => JSON.stringify({ ...fields(line), ...more(line) }),
      between: ',',
      after: ']',
    }
  }
  const entry = of === 'account' ? 'container' : 'object'
  return {
    before: `<?xml version="1.0" encoding="UTF-8"?>\n<${of} name="${xmlText(name)}">`,
    row: (line: Line) => xmlRow(entry, fields(line)),
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

const xmlEscapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

// Control characters have no place in XML 1.0, escaped or not.
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
const notInXml = /[&<>"\x00-\x08\x0B\x0C\x0E-\x1F]/g

function xmlText(text: string): string {
  return text.replace(notInXml, (character) => xmlEscapes[character] ?? '\uFFFD')
}

/** The outcome of a request that changes many things, as text, JSON or XML (swift/common/middleware/bulk.py, get_response_body). */

import { STATUS_CODES } from 'node:http'
import type { ListingFormat } from '../media_types.js'

export interface Outcome {
  /** By their names for people, such as `Number Deleted`. */
  fields: Readonly<Record<string, string | number>>
  /** The percent-encoded name of each thing that failed, and why. */
  errors: readonly (readonly [name: string, status: string])[]
}

/** `404 Not Found` */
export function statusLine(status: number): string {
  return `${status} ${reasons[status] ?? STATUS_CODES[status] ?? 'Error'}`
}

const reasons: Readonly<Record<number, string>> = {
  413: 'Request Entity Too Large',
  416: 'Requested Range Not Satisfiable',
}

/** `root`: the element that holds it in XML. */
export function outcomeBody(format: ListingFormat, root: 'delete' | 'extract' | 'upload', outcome: Outcome): string {
  const { fields, errors } = outcome
  if (format === 'application/json') return JSON.stringify({ ...fields, Errors: errors })
  const sorted = Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))
  if (format === 'text/plain') {
    const lines = sorted.map(([name, value]) => `${name}: ${value}\n`)
    return `${lines.join('')}Errors:\n${errors.map(([name, status]) => `${name}, ${status}\n`).join('')}`
  }
  const elements = sorted.map(([name, value]) => {
    const element = name.replaceAll(' ', '_').toLowerCase()
    return `<${element}>${escapeXml(String(value))}</${element}>\n`
  })
  const failed = errors.map(
    ([name, status]) => `<object><name>${escapeXml(name)}</name><status>${escapeXml(status)}</status></object>\n`,
  )
  return `<${root}>\n${elements.join('')}<errors>\n${failed.join('')}</errors>\n</${root}>\n`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/**
 * The two patch formats of the images API: `application/openstack-images-v2.1-json-patch` (JSON Patch with `add`,
 * `remove` and `replace` on members one level deep, and on `/locations/N`), and its predecessor v2.0, where the operation
 * is the member's name: `{"replace": "/name", "value": "x"}`.
 */

import { GlanceFault } from '../errors.js'

export const patchMediaTypes = {
  'application/openstack-images-v2.0-json-patch': 4,
  'application/openstack-images-v2.1-json-patch': 10,
} as const

/** Draft 4 of the JSON Patch proposal, or draft 10. They differ in form, and in what `add` does to what is there already. */
export type PatchDraft = 4 | 10

export interface PatchOperation {
  op: 'add' | 'remove' | 'replace'
  /** Decoded, without the leading slash: `['locations', '-']`. Never empty. */
  path: string[]
  /** Undefined for `remove` only. */
  value: unknown
}

const operations = ['add', 'remove', 'replace'] as const
const maxOperations = 512

/** `remove` and `replace` of single tags do not exist; only `locations` has a second level. */
const depthOf = (op: PatchOperation['op'], root: string): number =>
  root === 'locations' && (op === 'add' || op === 'remove') ? 2 : 1

/** Judges form only: which members may be changed is the caller's matter. Throws 400. */
export function parsePatch(body: unknown, draft: PatchDraft): PatchOperation[] {
  if (!Array.isArray(body)) throw new GlanceFault(400, 'Request body must be a JSON array of operation objects.')
  if (body.length > maxOperations)
    throw new GlanceFault(400, `A patch has at most ${maxOperations} operations; this one has ${body.length}.`)
  return body.map((raw: unknown) => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
      throw new GlanceFault(400, 'Operations must be JSON objects.')
    return parseOperation(raw as Record<string, unknown>, draft)
  })
}

function parseOperation(raw: Record<string, unknown>, draft: PatchDraft): PatchOperation {
  const op = draft === 10 ? operationOf(raw) : soleOperationOf(raw)
  const pointer = draft === 10 ? raw['path'] : raw[op]
  if (typeof pointer !== 'string') throw new GlanceFault(400, "Unable to find 'path' in JSON Schema change")
  const path = decodePointer(pointer)
  if (path.length !== depthOf(op, path[0] as string))
    throw new GlanceFault(400, `Invalid JSON pointer for this resource: '/${path.join('/')}'`)
  if (op !== 'remove' && !('value' in raw))
    throw new GlanceFault(400, `Operation "${op}" requires a member named "value".`)
  return { op, path, value: op === 'remove' ? undefined : raw['value'] }
}

function operationOf(raw: Record<string, unknown>): PatchOperation['op'] {
  const known = operations.find((op) => op === raw['op'])
  if (known) return known
  throw new GlanceFault(
    400,
    raw['op'] === undefined
      ? `Unable to find \`op\` in JSON Schema change. It must be one of the following: ${operations.join(', ')}.`
      : `Invalid operation: \`${String(raw['op'])}\`. It must be one of the following: ${operations.join(', ')}.`,
  )
}

function soleOperationOf(raw: Record<string, unknown>): PatchOperation['op'] {
  const named = operations.filter((op) => op in raw)
  if (named.length === 1) return named[0] as PatchOperation['op']
  throw new GlanceFault(400, 'Operation objects must contain exactly one member named "add", "remove", or "replace".')
}

/** RFC 6901, without the pointer to the whole document and without empty parts. */
function decodePointer(pointer: string): string[] {
  const shown = pointer.length > 100 ? `${pointer.slice(0, 100)}…` : pointer
  if (!pointer.startsWith('/')) throw new GlanceFault(400, `Pointer \`${shown}\` does not start with "/".`)
  if (/~(?![01])/.test(pointer))
    throw new GlanceFault(400, `Pointer \`${shown}\` contains "~" not part of a recognized escape sequence.`)
  const parts = pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~').trim())
  if (parts.some((part) => part === '')) throw new GlanceFault(400, `Pointer \`${shown}\` has an empty part.`)
  return parts
}

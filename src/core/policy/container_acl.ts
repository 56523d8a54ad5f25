/**
 * Access lists of containers: who, beside the members of its project, may read a container's objects or write to it. Syntax and
 * meaning are those of Swift (swift/common/middleware/acl.py) with the identities of Keystone (keystoneauth.py):
 *
 *   .r:HOST, .r:.DOMAIN, .r:*    requests with such a Referer; `.r:-HOST` excludes; the last one that matches decides
 *   .rlistings                   those requests may also list the container
 *   PROJECT:USER                 by ID or name; `*` stands for any
 *   ROLE                         whoever has this role in the project of the token
 */

import type { Caller } from '../model/records.js'
import { InvalidArgument } from '../model/errors.js'

/** Who asks. */
export interface Visitor {
  /** undefined: without a valid token. */
  caller: Caller | undefined
  /** The Referer header. */
  referrer: string | undefined
  /** Whether the container itself is asked for, not an object in it. */
  listing: boolean
}

const referrerDesignators = new Set(['.r', '.ref', '.referer', '.referrer'])

/** Returns the list in its shortest form. Throws InvalidArgument with Swift's text. */
export function cleanContainerAcl(header: 'X-Container-Read' | 'X-Container-Write', value: string): string {
  const items: string[] = []
  for (const raw of value.split(',')) {
    const item = raw.trim()
    if (item === '') continue
    const colon = item.indexOf(':')
    const designator = colon < 0 ? '' : item.slice(0, colon).trim()
    if (!designator.startsWith('.')) items.push(item)
    else if (referrerDesignators.has(designator)) items.push(cleanReferrer(header, item, item.slice(colon + 1).trim()))
    else throw new InvalidArgument(`Unknown designator '${designator}' in ACL: '${item}'`)
  }
  return items.join(',')
}

function cleanReferrer(header: string, item: string, value: string): string {
  if (header === 'X-Container-Write') throw new InvalidArgument(`Referrers not allowed in write ACL: '${item}'`)
  const excluded = value.startsWith('-')
  let host = excluded ? value.slice(1).trim() : value
  if (host !== '*' && host.startsWith('*')) host = host.slice(1).trim()
  if (host === '' || host === '.') {
    throw new InvalidArgument(`No host/domain value after referrer designation in ACL: '${item}'`)
  }
  return `.r:${excluded ? '-' : ''}${host}`
}

/** `acl`: a clean list, empty if there is none. */
export function containerAclAllows(acl: string, visitor: Visitor): boolean {
  if (acl === '') return false
  const items = acl.split(',')
  const referrers = items.filter((item) => item.startsWith('.r:')).map((item) => item.slice('.r:'.length))
  const others = new Set(items.filter((item) => !item.startsWith('.r:')).map(unescaped))
  const { caller, listing } = visitor
  if (caller !== undefined && namesOf(caller).some((name) => others.has(name))) return true
  if (referrerAllowed(referrers, visitor.referrer)) return !listing || others.has('.rlistings')
  return caller?.roles.some(({ name }) => others.has(name)) ?? false
}

/** All the ways to write `PROJECT:USER` that mean this caller. */
function namesOf({ user, project }: Caller): string[] {
  const projects = project === undefined ? ['*'] : [project.id, project.name, '*']
  return projects.flatMap((one) => [user.id, user.name, '*'].map((other) => `${one}:${other}`))
}

/** Names with commas are percent-encoded. */
function unescaped(item: string): string {
  try {
    return decodeURIComponent(item)
  } catch {
    return item
  }
}

function referrerAllowed(referrers: readonly string[], referrer: string | undefined): boolean {
  if (referrers.length === 0) return false
  const host = hostOf(referrer)
  let allowed = false
  for (const item of referrers) {
    const excluded = item.startsWith('-')
    const pattern = excluded ? item.slice(1) : item
    const matches = pattern === host || (pattern.startsWith('.') && host.endsWith(pattern))
    if (matches || (pattern === '*' && !excluded)) allowed = !excluded
  }
  return allowed
}

function hostOf(referrer: string | undefined): string {
  if (referrer === undefined || !URL.canParse(referrer)) return 'unknown'
  return new URL(referrer).hostname || 'unknown'
}

/**
 * If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since and If-Range, in the order of RFC 9110, 13.2.2.
 * Entity tags are MD5 digests; Swift sends them without quotes and takes them with or without.
 */

import type { IncomingHttpHeaders } from 'node:http'
import { SwiftError } from '../errors.js'

/** What the conditions are held against; undefined: there is no such object. */
export interface Validator {
  /** null: it has none. */
  etag: string | null
  /** Seconds since 1970, whole: what Last-Modified says. */
  modifiedSeconds: number
}

type ConditionHeaders = Pick<
  IncomingHttpHeaders,
  'if-match' | 'if-none-match' | 'if-modified-since' | 'if-unmodified-since'
>

/** Throws 304 or 412, with the headers that describe the object, when a GET or HEAD is not to be answered in full. Most are: they need none. */
export function checkReadConditions(
  headers: ConditionHeaders,
  current: Validator,
  shownHeaders: () => Record<string, string>,
): void {
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined) {
    if (!matchesStrongTag(ifMatch, current.etag)) throw new SwiftError(412, undefined, shownHeaders())
  } else {
    const since = parseHttpDate(headers['if-unmodified-since'])
    if (since !== undefined && current.modifiedSeconds > since) throw new SwiftError(412, undefined, shownHeaders())
  }
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined) {
    if (matchesTag(ifNoneMatch, current.etag)) throw new SwiftError(304, undefined, shownHeaders())
  } else {
    const since = parseHttpDate(headers['if-modified-since'])
    if (since !== undefined && current.modifiedSeconds <= since) {
      throw new SwiftError(304, undefined, shownHeaders())
    }
  }
}

/** Whether a GET or HEAD of an object that does not exist is answered 412: `If-Match: *` asks that there is one. */
export function requiresObject(headers: ConditionHeaders): boolean {
  const ifMatch = headers['if-match']
  return ifMatch !== undefined && tagsOf(ifMatch).includes('*')
}

/** Swift takes nothing but `*` in the If-None-Match of a PUT, and says so. */
export function checkPutConditionSyntax(headers: ConditionHeaders): void {
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined && !tagsOf(ifNoneMatch).includes('*')) {
    throw new SwiftError(400, 'If-None-Match only supports *')
  }
}

/** Does Range still apply? If-Range holds an entity tag or a date (RFC 9110, 13.1.5). */
export function rangeStillApplies(ifRange: string | undefined, current: Validator): boolean {
  if (ifRange === undefined) return true
  const seconds = parseHttpDate(ifRange)
  return seconds === undefined
    ? current.etag !== null && tagsOf(ifRange).includes(current.etag)
    : seconds === current.modifiedSeconds
}

function matchesTag(header: string, etag: string | null): boolean {
  const tags = tagsOf(header)
  return tags.includes('*') || (etag !== null && tags.includes(etag))
}

/** A weak tag says that two things are worth the same, not that their bytes are (RFC 9110, 13.1.1). */
function matchesStrongTag(header: string, etag: string | null): boolean {
  const strong = header.split(',').filter((tag) => !tag.trim().startsWith('W/'))
  return strong.length > 0 && matchesTag(strong.join(','), etag)
}

function tagsOf(header: string): string[] {
  return header.split(',').map((tag) => normalizeEtag(tag))
}

/** Without quotes and weakness mark, in lower case. */
export function normalizeEtag(tag: string): string {
  return tag
    .trim()
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1')
    .toLowerCase()
}

/** The longest form, with the longest name of a day, has half of that. */
const httpDateLengthMax = 64

function parseHttpDate(header: string | undefined): number | undefined {
  // Date.parse alone takes "1" for a date; an HTTP date begins with the name of a day (RFC 9110, 5.6.7).
  if (header === undefined || header.length > httpDateLengthMax || !/^\s*[A-Za-z]{3,9},?\s/.test(header))
    return undefined
  // asctime dates name no zone; they mean GMT all the same.
  const milliseconds = Date.parse(/(GMT|UTC|[+-]\d{4})\s*$/i.test(header) ? header : `${header} GMT`)
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000)
}

/**
 * Access lists of accounts (`X-Account-Access-Control`), as Swift's TempAuth defines them: a JSON object of up to three lists of
 * grantees. A grantee is a project, or `PROJECT:USER`, by ID or name.
 */

import { InvalidArgument } from '../model/errors.js'
import type { Caller } from '../model/records.js'

/** `read-only`: GET and HEAD. `read-write`: everything but changing the account itself. `admin`: like the owner. */
export type AccountLevel = 'admin' | 'read-write' | 'read-only'

const levels: readonly AccountLevel[] = ['admin', 'read-write', 'read-only']

type Lists = Partial<Record<AccountLevel, string[]>>

/** Returns the list in one form, empty if it grants nothing. Throws InvalidArgument. */
export function cleanAccountAcl(text: string): string {
  if (text === '') return ''
  const lists = listsIn(text)
  const given = levels.filter((level) => (lists[level]?.length ?? 0) > 0).map((level) => [level, lists[level]] as const)
  // Headers carry ASCII without trouble; JSON can say everything in it.
  return given.length === 0 ? '' : asciiJson(Object.fromEntries(given))
}

/** `acl`: a clean list, empty if there is none. The highest level that it grants; undefined: none. */
export function accountLevelOf(acl: string, caller: Caller | undefined): AccountLevel | undefined {
  if (acl === '' || caller?.project === undefined) return undefined
  const { user, project } = caller
  const names = [project.id, project.name].flatMap((one) => [one, `${one}:${user.id}`, `${one}:${user.name}`])
  const lists = JSON.parse(acl) as Lists
  return levels.find((level) => lists[level]?.some((grantee) => names.includes(grantee)))
}

function listsIn(text: string): Lists {
  const invalid = (why: string) =>
    new InvalidArgument(`X-Account-Access-Control invalid: ${why}\n\nInput: ${text.slice(0, 1024)}\n`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalid('Syntax error in input')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('Syntax error in input')
  for (const [key, list] of Object.entries(value)) {
    const name = JSON.stringify(key)
    if (!(levels as readonly string[]).includes(key)) throw invalid(`Key ${name} not recognized`)
    if (!Array.isArray(list)) throw invalid(`Value for key ${name} must be a list`)
    if (list.some((grantee) => typeof grantee !== 'string')) throw invalid(`Elements of ${name} list must be strings`)
  }
  return value
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Quotas, which are metadata with a meaning: `X-Container-Meta-Quota-*`, `X-Account-Meta-Quota-*`. */

import type { FastifyRequest } from 'fastify'
import { quotaNames } from '../../../../core/objects/quotas.js'
import { SwiftError } from '../errors.js'

/** Throws 400 for a quota that is no number. */
export function checkContainerQuotas({ headers }: FastifyRequest): void {
  for (const name of quotaNames) {
    const value = headers[`x-container-meta-${name}`]
    const kind = name === 'quota-bytes' ? 'bytes' : 'count'
    if (value !== undefined && !isNumber(value)) throw new SwiftError(400, `Invalid ${kind} quota.`)
  }
}

/** Only an administrator sets the quotas of an account: throws 403 for others, and 400 for a quota that is no number. */
export function checkAccountQuotas({ headers, caller }: FastifyRequest): void {
  for (const name of quotaNames) {
    const value = headers[`x-account-meta-${name}`]
    const removal = headers[`x-remove-account-meta-${name}`]
    if (value === undefined && (removal === undefined || removal === '')) continue
    if (caller?.isAdmin !== true) throw new SwiftError(403)
    if (value !== undefined && !isNumber(value)) throw new SwiftError(400)
  }
}

/** Empty: no quota any more. */
const isNumber = (value: string | string[]): boolean => typeof value === 'string' && /^\d{0,16}$/.test(value)

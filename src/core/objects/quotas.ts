/**
 * Quotas of accounts and containers: bytes and objects, in metadata named as Swift's middleware names them. They are checked in the
 * transaction that adds to the counters, so that uploads at the same time cannot exceed them together.
 */

import type { Reader } from '../../catalog/types.js'
import type { ContainerRow } from '../../catalog/schema.js'
import { QuotaExceeded } from '../model/errors.js'
import type { Settings } from './settings.js'

export const quotaNames = ['quota-bytes', 'quota-count'] as const

interface Limits {
  bytes: number | undefined
  objects: number | undefined
}

function limitsIn(metadata: Record<string, string> = {}): Limits {
  const number = (text: string | undefined) =>
    text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : undefined
  return { bytes: number(metadata['quota-bytes']), objects: number(metadata['quota-count']) }
}

const isUnlimited = ({ bytes, objects }: Limits): boolean => bytes === undefined && objects === undefined

/** Once the counters include an object of this size. Throws QuotaExceeded. */
export async function requireQuotas(db: Reader, settings: Settings, container: ContainerRow): Promise<void> {
  const ofContainer = limitsIn(settings.container?.metadata)
  const ofAccount = limitsIn(settings.account.metadata)
  if (!isUnlimited(ofContainer)) {
    const counted = db.selectFrom('containers').select(['bytes_used', 'object_count']).where('id', '=', container.id)
    requireWithin(ofContainer, await counted.executeTakeFirstOrThrow())
  }
  if (!isUnlimited(ofAccount)) {
    const { project_id } = container
    const counted = db
      .selectFrom('accounts')
      .select(['bytes_used', 'object_count'])
      .where('project_id', '=', project_id)
    requireWithin(ofAccount, await counted.executeTakeFirstOrThrow())
  }
}

function requireWithin(limits: Limits, counted: { bytes_used: number; object_count: number }): void {
  const tooMany = limits.objects !== undefined && Number(counted.object_count) > limits.objects
  const tooMuch = limits.bytes !== undefined && Number(counted.bytes_used) > limits.bytes
  if (tooMany || tooMuch) throw new QuotaExceeded()
}

import { randomUUID } from 'node:crypto'

/** Returns `tx<21 hex>-<10 hex: the time in seconds>` (swift/common/utils, `generate_trans_id`). */
export function newTransactionId(): string {
  const seconds = Math.floor(Date.now() / 1000)
  // Node generates the bytes of many UUIDs in advance. The digits in the middle hold the version and the variant.
  const [low, mid, , , node] = randomUUID().split('-') as [string, string, string, string, string]
  return `tx${low}${mid}${node.slice(0, 9)}-${seconds.toString(16).padStart(10, '0')}`
}

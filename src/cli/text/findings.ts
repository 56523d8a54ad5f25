/** Text about damage that `atoll check` or the scrub found. */

import { type Affected, thingInWords } from '../../core/health/affected.js'
import { type DamageKind, damages, type Severity } from '../../core/health/damage.js'
import { printable } from '../../lib/printing.js'

const affectedShown = 20

export interface FindingShown {
  kind: DamageKind
  severity: Severity
  message: string
  affected: readonly Affected[]
  /** There are more than these. */
  more?: boolean
}

/** Returns lines of text. `repairTried`: `--repair` has run, and did not solve this. */
export function findingInWords(
  { kind, severity, message, affected, more = false }: FindingShown,
  { repairTried = false }: { repairTried?: boolean } = {},
): string[] {
  const { repair: repairs, todo } = damages[kind]
  const lines = [`${severity === 'damaged' ? 'DAMAGED' : 'wrong'}: ${printable(message)} [${kind}]`]
  lines.push(...affected.slice(0, affectedShown).map((thing) => `  affects ${printable(thingInWords(thing))}`))
  if (affected.length > affectedShown)
    lines.push(`  affects ${affected.length - affectedShown} more (--json shows all)`)
  if (more) lines.push('  affects more than these')
  if (repairs !== undefined) lines.push(repairTried ? '  --repair could not repair this' : `  --repair: ${repairs}`)
  if (todo !== undefined) lines.push(`  to do: ${todo}`)
  return lines
}

/** A role assignment in the Identity API's format. */

import type { Assignment } from '../../../../core/model/records.js'
import { domainReference } from './resources.js'

export function assignmentBody({ project, user, role }: Assignment, withNames: boolean) {
  const shown = ({ id, name }: { id: string; name: string }) => (withNames ? { id, name } : { id })
  const inDomain = (thing: { id: string; name: string }) =>
    withNames ? { id: thing.id, name: thing.name, domain: domainReference } : { id: thing.id }
  return { role: shown(role), user: inDomain(user), scope: { project: inDomain(project) } }
}

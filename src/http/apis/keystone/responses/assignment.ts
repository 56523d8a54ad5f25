/** A role assignment in the Identity API's format. */

import type { Assignment, AssignmentTarget, NamedInDomain } from '../../../../core/model/records.js'

export function assignmentBody(assignment: Assignment, withNames: boolean, base: string) {
  const { actor, target, role, inherited } = assignment
  return {
    role: withNames ? { id: role.id, name: role.name } : { id: role.id },
    [actor.kind]: inDomain(actor, withNames),
    scope: {
      ...scopeOf(target, withNames),
      ...(inherited && { 'OS-INHERIT:inherited_to': 'projects' }),
    },
    links: { assignment: `${base}/v3${pathOf(assignment)}` },
  }
}

function scopeOf(target: AssignmentTarget, withNames: boolean) {
  if (target.kind === 'system') return { system: { all: true } }
  if (target.kind === 'project') return { project: inDomain(target, withNames) }
  return { domain: withNames ? { id: target.id, name: target.name } : { id: target.id } }
}

const inDomain = ({ id, name, domain }: NamedInDomain, withNames: boolean) =>
  withNames ? { id, name, domain } : { id }

function pathOf({ actor, target, role, inherited }: Assignment): string {
  const place = target.kind === 'system' ? '/system' : `/${target.kind}s/${target.id}`
  const grant = `${place}/${actor.kind}s/${actor.id}/roles/${role.id}`
  return inherited ? `/OS-INHERIT${grant}/inherited_to_projects` : grant
}

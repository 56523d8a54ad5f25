/**
 * Who has which role where: `/v3/role_assignments`, and the grants of users and groups on projects, domains and the system, with or
 * without inheritance.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AssignmentFilter, GrantPlace } from '../../../../core/identity/grants.js'
import type { ApiOptions } from '../../../shared/api.js'
import { baseUrl } from '../../../shared/base_url.js'
import { BadParameter } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { flagParameter } from '../requests/list_filters.js'
import { assignmentBody } from '../responses/assignment.js'
import { listOf, sendListOf } from '../responses/list.js'
import { roleBody } from '../responses/resources.js'

interface Params {
  target?: string
  actor: string
  role: string
}

const targets = [
  { path: '/projects/:target', kind: 'project' },
  { path: '/domains/:target', kind: 'domain' },
  { path: '/system', kind: 'system' },
] as const
const actors = [
  { path: '/users/:actor', kind: 'user' },
  { path: '/groups/:actor', kind: 'group' },
] as const

type TargetKind = (typeof targets)[number]['kind']
type ActorKind = (typeof actors)[number]['kind']

export function addAssignments(app: FastifyInstance, options: ApiOptions): void {
  addList(app, options)
  for (const target of targets) {
    for (const actor of actors) {
      const path = `${target.path}${actor.path}/roles`
      const place = (params: Params) => placeOf(target.kind, actor.kind, params)
      addGrants(app, options, { list: path, one: `${path}/:role`, place, inherited: false })
      if (target.kind === 'system') continue
      const one = `/OS-INHERIT${path}/:role/inherited_to_projects`
      addGrants(app, options, { list: `/OS-INHERIT${path}/inherited_to_projects`, one, place, inherited: true })
    }
  }
}

function placeOf(target: TargetKind, actor: ActorKind, params: Params): GrantPlace {
  return {
    ...(actor === 'user' ? { userId: params.actor } : { groupId: params.actor }),
    ...(target === 'system' ? { system: true } : { projectId: params.target, isDomain: target === 'domain' }),
  }
}

interface GrantRoutes {
  list: string
  one: string
  place: (params: Params) => GrantPlace
  inherited: boolean
}

function addGrants(
  app: FastifyInstance,
  { core, urls }: ApiOptions,
  { list, one, place, inherited }: GrantRoutes,
): void {
  const { grants } = core.identity
  const grantOf = (request: FastifyRequest<{ Params: Params }>) => ({
    ...place(request.params),
    roleId: request.params.role,
    inherited,
  })

  app.get<{ Params: Params }>(list, async (request) => {
    authorize(request, 'list_grants')
    const roles = await grants.rolesOf(place(request.params), inherited)
    const bodies = roles.map((role) => roleBody(role, request, urls))
    return listOf('roles', bodies, request, urls)
  })

  // HEAD is answered by the same handler.
  app.get<{ Params: Params }>(one, async (request, reply) => {
    authorize(request, 'check_grant')
    await grants.require(grantOf(request))
    return reply.code(204).send()
  })

  app.put<{ Params: Params }>(one, async (request, reply) => {
    await grants.assign(grantOf(request), authorize(request, 'create_grant'))
    return reply.code(204).send()
  })

  app.delete<{ Params: Params }>(one, async (request, reply) => {
    await grants.unassign(grantOf(request), authorize(request, 'revoke_grant'))
    return reply.code(204).send()
  })
}

function addList(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.get('/role_assignments', async (request, reply) => {
    const userId = queryParameter(request, 'user.id')
    authorize(request, 'list_role_assignments', { userId })
    const filter = filterOf(request)
    const withNames = flagParameter(request, 'include_names')
    const base = baseUrl(request, urls)
    return sendListOf(request, reply, urls, {
      name: 'role_assignments',
      slices: (pace) => core.identity.grants.assignmentSlices(filter, pace),
      view: (assignment) => assignmentBody(assignment, withNames, base),
    })
  })
}

/** Throws BadParameter. */
function filterOf(request: FastifyRequest): AssignmentFilter {
  const parameter = (name: string) => queryParameter(request, name)
  const [projectId, domainId] = [parameter('scope.project.id'), parameter('scope.domain.id')]
  const system = parameter('scope.system')
  const inheritedTo = parameter('scope.OS-INHERIT:inherited_to')
  const subtree = flagParameter(request, 'include_subtree')
  const effective = flagParameter(request, 'effective')
  if (inheritedTo !== undefined && inheritedTo !== 'projects')
    throw new BadParameter(`expected "projects" for scope.OS-INHERIT:inherited_to, got "${inheritedTo.slice(0, 64)}"`)
  if ([projectId, domainId, system].filter((each) => each !== undefined).length > 1)
    throw new BadParameter('expected at most one of scope.project.id, scope.domain.id and scope.system')
  if (subtree && projectId === undefined) throw new BadParameter('expected scope.project.id with include_subtree')
  if (effective && (inheritedTo !== undefined || parameter('group.id') !== undefined))
    throw new BadParameter('expected neither group.id nor scope.OS-INHERIT:inherited_to with effective')
  return {
    userId: parameter('user.id'),
    groupId: parameter('group.id'),
    roleId: parameter('role.id'),
    projectId: projectId ?? domainId,
    isDomain: domainId !== undefined,
    system: system !== undefined,
    ...(inheritedTo !== undefined && { inherited: true }),
    subtree,
    effective,
  }
}

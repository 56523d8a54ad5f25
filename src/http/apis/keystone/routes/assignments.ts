/** `/v3/roles`, `/v3/role_assignments` and who has which role in which project. */

import type { FastifyInstance } from 'fastify'
import { AssignmentNotFound } from '../../../../core/model/errors.js'
import type { Assignment } from '../../../../core/model/records.js'
import type { ProjectId, RoleId, UserId } from '../../../../lib/ids.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin, requireCaller } from '../../../shared/auth.js'
import { baseUrl } from '../../../shared/base_url.js'
import { BadParameter, Forbidden } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { filtered, flagParameter } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { assignmentBody } from '../responses/assignment.js'
import { listOf, sendListOf } from '../responses/list.js'
import { roleBody } from '../responses/resources.js'

/** Filters that no assignment passes: there are no groups, and no roles in a domain, in the system or inherited. */
const assignmentsOfOthers = ['group.id', 'scope.domain.id', 'scope.system', 'scope.OS-INHERIT:inherited_to']

type Triple = { Params: { project: string; user: string; role: string } }
type Pair = { Params: { project: string; user: string } }

export function addAssignments(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.get('/roles', async (request) => {
    requireAdmin(request)
    const bodies = (await core.identity.roles()).map((role) => roleBody(role, request, urls))
    return listOf('roles', filtered(request, bodies, identityParameters['/roles']), request, urls)
  })

  app.get<{ Params: { role: string } }>('/roles/:role', async (request) => {
    requireAdmin(request)
    return { role: roleBody(await core.identity.role(request.params.role), request, urls) }
  })

  app.get('/role_assignments', async (request, reply) => {
    const caller = requireCaller(request)
    const userId = queryParameter(request, 'user.id')
    if (!caller.isAdmin && userId !== caller.user.id) throw new Forbidden('this needs the role admin')
    const projectId = queryParameter(request, 'scope.project.id')
    // All assignments are of users, in projects that have no others below them, and none is inherited.
    if (flagParameter(request, 'include_subtree') && projectId === undefined)
      throw new BadParameter('expected scope.project.id with include_subtree')
    flagParameter(request, 'effective')
    const withNames = flagParameter(request, 'include_names')
    if (assignmentsOfOthers.some((parameter) => queryParameter(request, parameter) !== undefined))
      return listOf('role_assignments', [], request, urls)
    const filter = { userId, projectId, roleId: queryParameter(request, 'role.id') }
    return sendListOf(request, reply, urls, {
      name: 'role_assignments',
      slices: (pace) => core.identity.assignmentSlices(filter, pace),
      view: (assignment) => ({
        ...assignmentBody(assignment, withNames),
        links: { assignment: `${baseUrl(request, urls)}/v3${pathOf(assignment)}` },
      }),
    })
  })

  app.get<Pair>('/projects/:project/users/:user/roles', async (request) => {
    requireAdmin(request)
    const assignments = await assignmentsOf(request.params)
    const bodies = assignments.map(({ role }) => roleBody(role, request, urls))
    return listOf('roles', bodies, request, urls)
  })

  // HEAD is answered by the same handler.
  app.get<Triple>('/projects/:project/users/:user/roles/:role', async (request, reply) => {
    requireAdmin(request)
    const found = (await assignmentsOf(request.params)).some(({ role }) => role.id === request.params.role)
    if (!found) throw new AssignmentNotFound()
    return reply.code(204).send()
  })

  app.put<Triple>('/projects/:project/users/:user/roles/:role', async (request, reply) => {
    const caller = requireAdmin(request)
    await core.identity.assign(await existing(request.params), caller)
    return reply.code(204).send()
  })

  app.delete<Triple>('/projects/:project/users/:user/roles/:role', async (request, reply) => {
    const caller = requireAdmin(request)
    await core.identity.unassign(await existing(request.params), caller)
    return reply.code(204).send()
  })

  async function assignmentsOf({ project, user }: Pair['Params']): Promise<Assignment[]> {
    await Promise.all([core.identity.project(project), core.identity.user(user)])
    return core.identity.assignments({ userId: user, projectId: project })
  }

  /** Throws "not found" of whichever of the three is missing. */
  async function existing(params: Triple['Params']): Promise<{ userId: UserId; projectId: ProjectId; roleId: RoleId }> {
    const [project, user, role] = await Promise.all([
      core.identity.project(params.project),
      core.identity.user(params.user),
      core.identity.role(params.role),
    ])
    return { userId: user.id, projectId: project.id, roleId: role.id }
  }
}

function pathOf({ project, user, role }: Assignment): string {
  return `/projects/${project.id}/users/${user.id}/roles/${role.id}`
}

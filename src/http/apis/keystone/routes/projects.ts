/** `/v3/projects` and `/v3/domains`. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin, requireCaller } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { DomainNotFound, Forbidden } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { fieldsOf } from '../requests/fields.js'
import { filtered, filterOf } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf, sendListOf } from '../responses/list.js'
import { defaultDomain, domainReference, projectBody } from '../responses/resources.js'

type ById = { Params: { id: string } }

export function addProjects(app: FastifyInstance, { core, urls }: ApiOptions): void {
  app.get('/projects', async (request, reply) => {
    requireAdmin(request)
    const name = queryParameter(request, 'name')
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/projects']),
      slices: (pace) => core.identity.projectSlices({ name }, pace),
      view: (project) => projectBody(project, request, urls),
    })
  })

  app.post('/projects', async (request, reply) => {
    const caller = requireAdmin(request)
    const fields = fieldsOf(await readJsonObject(request), 'project')
    fields.requireDefaultDomain()
    const wanted = {
      name: fields.requiredText('name'),
      description: fields.text('description'),
      enabled: fields.flag('enabled'),
    }
    const project = await core.identity.createProject(wanted, caller)
    return reply.code(201).send({ project: projectBody(project, request, urls) })
  })

  app.get<ById>('/projects/:id', async (request) => {
    const caller = requireCaller(request)
    const mine = caller.project?.id === request.params.id
    if (!mine && !caller.isAdmin) throw new Forbidden('this needs the role admin')
    return { project: projectBody(await core.identity.project(request.params.id), request, urls) }
  })

  app.patch<ById>('/projects/:id', async (request) => {
    const caller = requireAdmin(request)
    const fields = fieldsOf(await readJsonObject(request), 'project')
    const change = {
      name: fields.text('name'),
      description: fields.text('description'),
      enabled: fields.flag('enabled'),
    }
    const project = await core.identity.updateProject(request.params.id, change, caller)
    return { project: projectBody(project, request, urls) }
  })

  app.get('/domains', async (request) => {
    requireAdmin(request)
    const found = filtered(request, [defaultDomain(request, urls)], identityParameters['/domains'])
    return listOf('domains', found, request, urls)
  })

  app.get<ById>('/domains/:id', async (request) => {
    requireAdmin(request)
    if (request.params.id !== domainReference.id) throw new DomainNotFound(request.params.id)
    return { domain: defaultDomain(request, urls) }
  })
}

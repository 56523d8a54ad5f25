/** `/v3/users`: for admins; anyone may look at themselves and change their own password. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ProjectId } from '../../../../lib/ids.js'
import type { ApiOptions } from '../../../shared/api.js'
import { requireAdmin, requireCaller } from '../../../shared/auth.js'
import { readJsonObject } from '../../../shared/body.js'
import { Forbidden, MalformedBody } from '../../../shared/errors.js'
import { queryParameter } from '../../../shared/query.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filterOf } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { sendListOf } from '../responses/list.js'
import { projectBody, userBody } from '../responses/resources.js'

type ById = { Params: { id: string } }

export function addUsers(app: FastifyInstance, { core, urls, logins }: ApiOptions): void {
  app.get('/users', async (request, reply) => {
    requireAdmin(request)
    const name = queryParameter(request, 'name')
    return sendListOf(request, reply, urls, {
      name: 'users',
      isWanted: filterOf(request, identityParameters['/users']),
      slices: (pace) => core.identity.userSlices({ name }, pace),
      view: (user) => userBody(user, request, urls),
    })
  })

  app.post('/users', async (request, reply) => {
    const caller = requireAdmin(request)
    const fields = fieldsOf(await readJsonObject(request), 'user')
    const password = fields.text('password')
    if (password === undefined) throw new MalformedBody('user.password must be given')
    const wanted = { ...changeOf(fields), name: fields.requiredText('name'), password }
    const user = await core.identity.createUser(wanted, caller)
    return reply.code(201).send({ user: userBody(user, request, urls) })
  })

  app.get<ById>('/users/:id', async (request) => {
    requireSelfOrAdmin(request, request.params.id)
    return { user: userBody(await core.identity.user(request.params.id), request, urls) }
  })

  app.patch<ById>('/users/:id', async (request) => {
    const caller = requireAdmin(request)
    const fields = fieldsOf(await readJsonObject(request), 'user')
    const change = { ...changeOf(fields), name: fields.text('name'), password: fields.text('password') }
    return { user: userBody(await core.identity.updateUser(request.params.id, change, caller), request, urls) }
  })

  app.delete<ById>('/users/:id', async (request, reply) => {
    await core.identity.deleteUser(request.params.id, requireAdmin(request))
    return reply.code(204).send()
  })

  app.post<ById>('/users/:id/password', async (request, reply) => {
    const { id } = request.params
    const caller = requireCaller(request)
    if (caller.user.id !== id) throw new Forbidden('the user is another one')
    const fields = fieldsOf(await readJsonObject(request), 'user')
    const password = fields.requiredText('password')
    const original = fields.requiredText('original_password')
    await logins.changePassword(request, { userId: id, original, password })
    return reply.code(204).send()
  })

  app.get<ById>('/users/:id/projects', async (request, reply) => {
    const { id } = request.params
    const caller = requireSelfOrAdmin(request, id)
    // To oneself only those are shown that one may log in to.
    const enabled = caller.user.id === id ? true : undefined
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/users/:id/projects']),
      slices: (pace) => core.identity.projectSlices({ userId: id, enabled }, pace),
      view: (project) => projectBody(project, request, urls),
    })
  })
}

function requireSelfOrAdmin(request: FastifyRequest, id: string) {
  const caller = requireCaller(request)
  if (!caller.isAdmin && caller.user.id !== id) throw new Forbidden('this needs the role admin')
  return caller
}

function changeOf(fields: Fields) {
  fields.requireDefaultDomain()
  return {
    description: fields.text('description') ?? undefined,
    email: fields.nullableText('email'),
    enabled: fields.flag('enabled'),
    defaultProjectId: fields.nullableText('default_project_id') as ProjectId | null | undefined,
  }
}

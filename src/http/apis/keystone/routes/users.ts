/** `/v3/users`: for admins; anyone may look at themselves and change their own password. */

import type { FastifyInstance } from 'fastify'
import type { ProjectId } from '../../../../lib/ids.js'
import type { ApiOptions } from '../../../shared/api.js'
import { readJsonObject } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filterOf } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { sendListOf } from '../responses/list.js'
import { groupBody, projectBody, userBody } from '../responses/resources.js'

/** Strangers may send one. */
const strangerBytesMax = 64 << 10

type ById = { Params: { id: string } }

export function addUsers(app: FastifyInstance, { core, urls, logins }: ApiOptions): void {
  const { users, groups, projects } = core.identity

  app.get('/users', async (request, reply) => {
    authorize(request, 'list_users')
    const filter = { name: queryParameter(request, 'name'), domainId: queryParameter(request, 'domain_id') }
    return sendListOf(request, reply, urls, {
      name: 'users',
      isWanted: filterOf(request, identityParameters['/users']),
      slices: (pace) => users.slices(filter, pace),
      view: (user) => userBody(user, request, urls),
    })
  })

  app.post('/users', async (request, reply) => {
    const caller = authorize(request, 'create_user')
    const fields = fieldsOf(await readJsonObject(request), 'user')
    const wanted = {
      ...changeOf(fields),
      name: fields.requiredText('name'),
      password: fields.text('password'),
      domainId: fields.text('domain_id'),
    }
    const user = await users.create(wanted, caller)
    return reply.code(201).send({ user: userBody(user, request, urls) })
  })

  app.get<ById>('/users/:id', async (request) => {
    const { id } = request.params
    authorize(request, 'get_user', { userId: id })
    return { user: userBody(await users.get(id), request, urls) }
  })

  app.patch<ById>('/users/:id', async (request) => {
    const caller = authorize(request, 'update_user')
    const fields = fieldsOf(await readJsonObject(request), 'user')
    fields.requireUnchanged('domain_id', (await users.get(request.params.id)).domain.id)
    const change = { ...changeOf(fields), name: fields.text('name'), password: fields.text('password') }
    return { user: userBody(await users.update(request.params.id, change, caller), request, urls) }
  })

  app.delete<ById>('/users/:id', async (request, reply) => {
    await users.delete(request.params.id, authorize(request, 'delete_user'))
    return reply.code(204).send()
  })

  // Needs no token, as in Keystone: whoever knows the password may change it.
  app.post<ById>('/users/:id/password', async (request, reply) => {
    const { id } = request.params
    const fields = fieldsOf(await readJsonObject(request, strangerBytesMax), 'user')
    const password = fields.requiredText('password')
    const original = fields.requiredText('original_password')
    await logins.changePassword(request, { userId: id, original, password })
    return reply.code(204).send()
  })

  app.get<ById>('/users/:id/projects', async (request, reply) => {
    const { id } = request.params
    const caller = authorize(request, 'list_user_projects', { userId: id })
    // To oneself only those are shown that one may log in to.
    const enabled = caller.user.id === id ? true : undefined
    return sendListOf(request, reply, urls, {
      name: 'projects',
      isWanted: filterOf(request, identityParameters['/users/:id/projects']),
      slices: (pace) => projects.slices({ userId: id, enabled }, pace),
      view: (project) => projectBody(project, request, urls),
    })
  })

  app.get<ById>('/users/:id/groups', async (request, reply) => {
    const { id } = request.params
    authorize(request, 'list_groups_for_user', { userId: id })
    await users.get(id)
    return sendListOf(request, reply, urls, {
      name: 'groups',
      isWanted: filterOf(request, identityParameters['/users/:id/groups']),
      slices: (pace) => groups.slices({ userId: id }, pace),
      view: (group) => groupBody(group, request, urls),
    })
  })
}

const known = [
  'name',
  'password',
  'domain_id',
  'description',
  'email',
  'enabled',
  'default_project_id',
  'original_password',
]
const shown = ['password_expires_at']

function changeOf(fields: Fields) {
  return {
    description: fields.text('description') ?? undefined,
    email: fields.nullableText('email'),
    enabled: fields.flag('enabled'),
    defaultProjectId: fields.nullableText('default_project_id') as ProjectId | null | undefined,
    extra: fields.extra([...known, ...shown]),
  }
}

/** `/v3/groups` and who is in them: for admins; users may ask about themselves. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { readJsonObject } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filterOf } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { sendListOf } from '../responses/list.js'
import { groupBody, userBody } from '../responses/resources.js'

type ById = { Params: { id: string } }
type Member = { Params: { id: string; user: string } }

export function addGroups(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { groups, users } = core.identity

  app.get('/groups', async (request, reply) => {
    authorize(request, 'list_groups')
    const filter = { name: queryParameter(request, 'name'), domainId: queryParameter(request, 'domain_id') }
    return sendListOf(request, reply, urls, {
      name: 'groups',
      isWanted: filterOf(request, identityParameters['/groups']),
      slices: (pace) => groups.slices(filter, pace),
      view: (group) => groupBody(group, request, urls),
    })
  })

  app.post('/groups', async (request, reply) => {
    const caller = authorize(request, 'create_group')
    const fields = fieldsOf(await readJsonObject(request), 'group')
    const wanted = { ...changeOf(fields), name: fields.requiredText('name'), domainId: fields.text('domain_id') }
    return reply.code(201).send({ group: groupBody(await groups.create(wanted, caller), request, urls) })
  })

  app.get<ById>('/groups/:id', async (request) => {
    authorize(request, 'get_group')
    return { group: groupBody(await groups.get(request.params.id), request, urls) }
  })

  app.patch<ById>('/groups/:id', async (request) => {
    const caller = authorize(request, 'update_group')
    const fields = fieldsOf(await readJsonObject(request), 'group')
    fields.requireUnchanged('domain_id', (await groups.get(request.params.id)).domain.id)
    const change = { ...changeOf(fields), name: fields.text('name') }
    return { group: groupBody(await groups.update(request.params.id, change, caller), request, urls) }
  })

  app.delete<ById>('/groups/:id', async (request, reply) => {
    await groups.delete(request.params.id, authorize(request, 'delete_group'))
    return reply.code(204).send()
  })

  app.get<ById>('/groups/:id/users', async (request, reply) => {
    authorize(request, 'list_users_in_group')
    const { id } = await groups.get(request.params.id)
    return sendListOf(request, reply, urls, {
      name: 'users',
      isWanted: filterOf(request, identityParameters['/groups/:id/users']),
      slices: (pace) => users.slices({ groupId: id }, pace),
      view: (user) => userBody(user, request, urls),
    })
  })

  // HEAD is answered by the same handler.
  app.get<Member>('/groups/:id/users/:user', async (request, reply) => {
    const { id, user } = request.params
    authorize(request, 'check_user_in_group', { userId: user })
    await groups.requireMember(id, user)
    return reply.code(204).send()
  })

  app.put<Member>('/groups/:id/users/:user', async (request, reply) => {
    const { id, user } = request.params
    await groups.addMember(id, user, authorize(request, 'add_user_to_group'))
    return reply.code(204).send()
  })

  app.delete<Member>('/groups/:id/users/:user', async (request, reply) => {
    const { id, user } = request.params
    await groups.removeMember(id, user, authorize(request, 'remove_user_from_group'))
    return reply.code(204).send()
  })
}

const changeOf = (fields: Fields) => ({
  description: fields.text('description'),
  extra: fields.extra(['name', 'domain_id', 'description']),
})

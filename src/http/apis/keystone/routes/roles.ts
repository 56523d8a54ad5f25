/** `/v3/roles` and which role implies which. For admins. */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Implication } from '../../../../core/identity/roles.js'
import type { Role } from '../../../../core/model/records.js'
import type { ApiOptions } from '../../../shared/api.js'
import { readJsonObject } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filtered } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { listOf } from '../responses/list.js'
import { roleBody, self } from '../responses/resources.js'

type ById = { Params: { role: string } }
type Pair = { Params: { role: string; implied: string } }

export function addRoles(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { roles } = core.identity

  app.get('/roles', async (request) => {
    authorize(request, 'list_roles')
    const found = await roles.list({ domainId: queryParameter(request, 'domain_id') })
    const bodies = found.map((role) => roleBody(role, request, urls))
    return listOf('roles', filtered(request, bodies, identityParameters['/roles']), request, urls)
  })

  app.post('/roles', async (request, reply) => {
    const caller = authorize(request, 'create_role')
    const fields = fieldsOf(await readJsonObject(request), 'role')
    const wanted = { ...changeOf(fields), name: fields.requiredText('name'), domainId: fields.text('domain_id') }
    return reply.code(201).send({ role: roleBody(await roles.create(wanted, caller), request, urls) })
  })

  app.get<ById>('/roles/:role', async (request) => {
    authorize(request, 'get_role')
    return { role: roleBody(await roles.get(request.params.role), request, urls) }
  })

  app.patch<ById>('/roles/:role', async (request) => {
    const caller = authorize(request, 'update_role')
    const fields = fieldsOf(await readJsonObject(request), 'role')
    fields.requireUnchanged('domain_id', (await roles.get(request.params.role)).domainId)
    const change = { ...changeOf(fields), name: fields.text('name') }
    return { role: roleBody(await roles.update(request.params.role, change, caller), request, urls) }
  })

  app.delete<ById>('/roles/:role', async (request, reply) => {
    await roles.delete(request.params.role, authorize(request, 'delete_role'))
    return reply.code(204).send()
  })

  // ---- implied roles ----

  app.get('/role_inferences', async (request) => {
    authorize(request, 'list_implied_roles')
    const inferences = (await roles.implications()).map((each) => inferenceBody(each, request))
    return { role_inferences: inferences, links: self(request, urls, 'role_inferences') }
  })

  app.get<ById>('/roles/:role/implies', async (request) => {
    authorize(request, 'list_implied_roles')
    const { role } = request.params
    const inference = inferenceBody(await roles.impliedBy(role), request)
    return { role_inference: inference, links: self(request, urls, `roles/${role}/implies`) }
  })

  app.get<Pair>('/roles/:role/implies/:implied', async (request, reply) => {
    authorize(request, 'list_implied_roles')
    const { role, implied } = request.params
    const found = await roles.implication(role, implied)
    if (request.method === 'HEAD') return reply.code(204).send()
    return pairBody(found, request)
  })

  app.put<Pair>('/roles/:role/implies/:implied', async (request, reply) => {
    const { role, implied } = request.params
    await roles.imply(role, implied, authorize(request, 'create_implied_role'))
    return reply.code(201).send(pairBody(await roles.implication(role, implied), request))
  })

  app.delete<Pair>('/roles/:role/implies/:implied', async (request, reply) => {
    const { role, implied } = request.params
    await roles.stopImplying(role, implied, authorize(request, 'delete_implied_role'))
    return reply.code(204).send()
  })

  const named = (role: Role, request: FastifyRequest) => ({
    id: role.id,
    name: role.name,
    links: self(request, urls, `roles/${role.id}`),
  })

  function inferenceBody({ prior, implied }: Implication, request: FastifyRequest) {
    return { prior_role: named(prior, request), implies: implied.map((role) => named(role, request)) }
  }

  function pairBody({ prior, implied }: { prior: Role; implied: Role }, request: FastifyRequest) {
    return {
      role_inference: { prior_role: named(prior, request), implies: named(implied, request) },
      links: self(request, urls, `roles/${prior.id}/implies/${implied.id}`),
    }
  }
}

const changeOf = (fields: Fields) => ({
  description: fields.text('description'),
  extra: fields.extra(['name', 'domain_id', 'description']),
})

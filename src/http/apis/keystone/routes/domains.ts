/** `/v3/domains`: for admins; everybody may look at the domains of their user and token. */

import type { FastifyInstance } from 'fastify'
import type { ApiOptions } from '../../../shared/api.js'
import { readJsonObject } from '../../../shared/body.js'
import { queryParameter } from '../../../shared/query.js'
import { authorize } from '../requests/authorize.js'
import { type Fields, fieldsOf } from '../requests/fields.js'
import { filterOf } from '../requests/list_filters.js'
import { identityParameters } from '../requests/parameters.js'
import { sendListOf } from '../responses/list.js'
import { domainBody } from '../responses/resources.js'

type ById = { Params: { id: string } }

export function addDomains(app: FastifyInstance, { core, urls }: ApiOptions): void {
  const { projects } = core.identity

  app.get('/domains', async (request, reply) => {
    authorize(request, 'list_domains')
    const filter = { name: queryParameter(request, 'name'), isDomain: true }
    return sendListOf(request, reply, urls, {
      name: 'domains',
      isWanted: filterOf(request, identityParameters['/domains']),
      slices: (pace) => projects.slices(filter, pace),
      view: (domain) => domainBody(domain, request, urls),
    })
  })

  app.post('/domains', async (request, reply) => {
    const caller = authorize(request, 'create_domain')
    const fields = fieldsOf(await readJsonObject(request), 'domain')
    const wanted = { ...changeOf(fields), name: fields.requiredText('name'), isDomain: true }
    const domain = await projects.create(wanted, caller)
    return reply.code(201).send({ domain: domainBody(domain, request, urls) })
  })

  app.get<ById>('/domains/:id', async (request) => {
    const { id } = request.params
    authorize(request, 'get_domain', { domainId: id })
    return { domain: domainBody(await projects.domain(id), request, urls) }
  })

  app.patch<ById>('/domains/:id', async (request) => {
    const caller = authorize(request, 'update_domain')
    const fields = fieldsOf(await readJsonObject(request), 'domain')
    const { id } = await projects.domain(request.params.id)
    const change = { ...changeOf(fields), name: fields.text('name') }
    return { domain: domainBody(await projects.update(id, change, caller), request, urls) }
  })

  app.delete<ById>('/domains/:id', async (request, reply) => {
    await projects.deleteDomain(request.params.id, authorize(request, 'delete_domain'))
    return reply.code(204).send()
  })
}

const changeOf = (fields: Fields) => ({
  description: fields.text('description'),
  enabled: fields.flag('enabled'),
  tags: fields.texts('tags'),
  extra: fields.extra(['name', 'description', 'enabled', 'tags']),
})
